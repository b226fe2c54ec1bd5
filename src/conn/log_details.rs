//! Facts of an exchange that the JSON log has beyond the Combined line, kept while the exchange lasts.

use std::time::Duration;

use crate::log::json::Details;
use crate::request::Request;
use crate::request::client::{Client, ClientAddress};

/// Facts of the request at hand. Its buffers are used again for the next one.
#[derive(Debug, Default)]
pub struct LogDetails {
    /// The other end of the socket, where it is not the client.
    peer: Option<String>,
    host: Vec<u8>,
    file: Vec<u8>,
    id: Vec<u8>,
}

impl LogDetails {
    /// Clears the facts of the last request, for the next one of `client`.
    pub fn begin(&mut self, client: &Client) {
        let is_peer = match client.peer {
            Some(peer) => client.address == ClientAddress::Ip(peer.ip().to_canonical()),
            None => client.address == ClientAddress::Unix,
        };
        let peer = || client.peer.map_or("unix".to_owned(), |peer| peer.ip().to_canonical().to_string());
        self.peer = (!is_peer).then(peer);
        [&mut self.host, &mut self.file, &mut self.id].into_iter().for_each(Vec::clear);
    }

    /// Records the facts of a request. A proxy's identifier is kept only if the proxy is trusted.
    pub fn set_request(&mut self, request: &Request<'_>, is_trusted: bool) {
        self.host.extend_from_slice(request.host.unwrap_or_default().as_bytes());
        if let Some(id) = request.fields.last("X-Request-Id").filter(|_| is_trusted) {
            self.id.extend_from_slice(id);
        }
    }

    /// Records the name of the file that answers.
    pub fn set_file(&mut self, name: &[u8]) {
        self.file.clear();
        self.file.extend_from_slice(name);
    }

    /// Facts for the log line of an exchange that took `took`.
    pub fn view(&self, took: Duration) -> Details<'_> {
        Details { peer: self.peer.as_deref(), host: &self.host, file: &self.file, id: &self.id, took }
    }
}
