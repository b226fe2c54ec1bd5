//! Client's side of a connection: all that outlives each of its states.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Instant;

use super::io::receive_buffer::ReceiveBuffer;
use super::io::socket::Socket;
use super::log_details::LogDetails;
use crate::representation::inline::Inline;
use crate::request::client::{ClientAddress, Scheme};
use crate::request::proxy_protocol::ProxyHead;
use crate::request::{Client, Rejection};
use crate::rules::Charged;
use crate::sys::memory::{MemoryReservation, REQUEST_MEMORY};

/// Address of a client as logged: an IPv6 address has 39 bytes at most, and stands for an IPv4 one as that.
pub type AddressText = Inline<45>;

/// Socket, client and unread input of one connection, whatever its state.
#[derive(Debug)]
pub struct Session {
    socket: Socket,
    /// The other end: the socket's peer, or the client that a PROXY head named.
    sender: Client,
    /// The client of the request at hand.
    client: Client,
    /// Client's address as logged: IPv4 in IPv6 shown as IPv4.
    client_text: AddressText,
    /// Bytes received and not yet parsed; empty (and unallocated) between requests.
    pending: Vec<u8>,
    /// Reservation for those bytes in the memory for all requests.
    pending_memory: Option<MemoryReservation>,
    /// Bytes behind a request were dropped for want of memory: the connection ends with its response.
    has_lost_input: bool,
    /// The last read emptied the socket and saw no FIN; epoll reports anything newer, so the next `recv` can
    /// be skipped.
    input_drained: bool,
    /// The connection waited for something other than input since the last read. The poller drops events
    /// that are not waited for, so the client may have ended its side unseen.
    end_may_be_unseen: bool,
    accepted: Instant,
    /// Time of the first byte of the request at hand.
    began: Instant,
    /// Facts for a log with more than the Combined line.
    details: Option<Box<LogDetails>>,
    /// Requests answered.
    served: u64,
    /// Rules that have counted the request at hand.
    charged: Charged,
    /// Response to the first request where the client has too many connections.
    refusal: Option<Box<Rejection>>,
}

fn address_text(client: &Client) -> AddressText {
    AddressText::from(&*client.address.to_string())
}

impl Session {
    /// A session of an accepted socket.
    pub fn new(stream: impl Into<OwnedFd>, peer: Option<SocketAddr>) -> Session {
        let (sender, now) = (Client::of_socket(peer), Instant::now());
        Session {
            socket: Socket::new(stream),
            sender,
            client: sender,
            client_text: address_text(&sender),
            pending: Vec::new(),
            pending_memory: None,
            has_lost_input: false,
            input_drained: false,
            end_may_be_unseen: false,
            accepted: now,
            began: now,
            details: None,
            served: 0,
            charged: Charged::default(),
            refusal: None,
        }
    }

    /// Answers the first request with `refusal`, whatever it asks.
    pub fn refuse_first(&mut self, refusal: Rejection) {
        self.refusal = Some(Box::new(refusal));
    }

    /// Refusal that the first request is answered with.
    pub fn refusal(&self) -> Option<&Rejection> {
        self.refusal.as_deref()
    }

    /// The socket.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// The socket, for calls that change its mode.
    pub fn socket_mut(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Local address that the client connected to.
    pub fn local_address(&self) -> SocketAddr {
        // A Unix-domain socket has no port, but the URL that its proxy was asked for has one.
        let port = if self.client.scheme == Scheme::Https { 443 } else { 80 };
        self.socket.local_address().unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
    }

    /// The client of the request at hand.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The client's address as logged.
    pub fn client_text(&self) -> &AddressText {
        &self.client_text
    }

    /// The other end of the connection: a client, or a proxy.
    pub fn sender(&self) -> &Client {
        &self.sender
    }

    /// Tells whether the client is the sender, by plain HTTP: no proxy has named another one or said TLS.
    pub fn has_plain_client(&self) -> bool {
        self.client == self.sender && self.sender.scheme == Scheme::Http
    }

    /// Sets the client of the request at hand; most often that of the one before.
    pub fn set_client(&mut self, client: Client) {
        if client.address != self.client.address {
            self.client_text = address_text(&client);
        }
        self.client = client;
    }

    /// Takes the sender for the client: a head that is not understood names none.
    pub fn set_client_to_sender(&mut self) {
        self.set_client(self.sender);
    }

    /// Sets sender and client to those that a PROXY head names. One without an address leaves the peer.
    pub fn set_sender(&mut self, head: &ProxyHead) {
        if let Some(source) = head.source {
            self.sender.address = ClientAddress::Ip(source.ip().to_canonical());
        }
        if head.is_tls {
            self.sender.scheme = Scheme::Https;
        }
        self.set_client_to_sender();
    }

    /// Key by which rates tell senders apart. A client behind a proxy has the proxy's port: two of its
    /// connections are two.
    pub fn sender_key(&self) -> SocketAddr {
        let address = self.client.address.known().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let number = self.client.peer.map(|peer| peer.port());
        SocketAddr::new(address, number.unwrap_or(self.socket.raw_fd() as u16))
    }

    /// Begins the facts of a request for the log, if it `wants` any.
    pub fn begin_details(&mut self, wants: bool) -> Option<&mut LogDetails> {
        if !wants {
            return None;
        }
        let details = self.details.get_or_insert_default();
        details.begin(&self.client);
        Some(details)
    }

    /// Facts of the request at hand for the log.
    pub fn details(&self) -> Option<&LogDetails> {
        self.details.as_deref()
    }

    /// Facts of the request at hand, to add to.
    pub fn details_mut(&mut self) -> Option<&mut LogDetails> {
        self.details.as_deref_mut()
    }

    /// Time at which the connection was accepted.
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// Time of the first byte of the request at hand.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Sets the time of the first byte of the request at hand.
    pub fn set_began(&mut self, at: Instant) {
        self.began = at;
    }

    /// Requests answered.
    pub fn served(&self) -> u64 {
        self.served
    }

    /// Counts an answered request.
    pub fn count_served(&mut self) {
        self.served += 1;
    }

    /// Has rules count the request at hand, which comes to its first decision.
    ///
    /// Further decisions on the request count no more: one that was put off, and a script's redirect to
    /// another resource of this server.
    pub fn begin_request(&mut self) {
        self.charged.clear();
    }

    /// Rules that have counted the request at hand.
    pub fn charged(&self) -> &Charged {
        &self.charged
    }

    /// True while nothing that the client sent has been understood.
    pub fn is_new(&self) -> bool {
        self.served == 0 && self.pending.is_empty()
    }

    /// True if the next `recv` would find nothing that epoll does not report.
    pub fn input_drained(&self) -> bool {
        self.input_drained
    }

    /// Sets whether the last read emptied the socket.
    pub fn set_input_drained(&mut self, input_drained: bool) {
        self.input_drained = input_drained;
    }

    /// Records a wait for something other than input.
    pub fn set_end_may_be_unseen(&mut self) {
        self.end_may_be_unseen = true;
    }

    /// Tells once whether the client may have ended its side in a wait since the last read.
    pub fn take_unseen_end(&mut self) -> bool {
        std::mem::take(&mut self.end_may_be_unseen)
    }

    /// Input kept from an earlier turn.
    pub fn pending(&self) -> &[u8] {
        &self.pending
    }

    /// Takes the kept input out.
    pub fn take_pending(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// Begins a turn of `buffer` with the input that was kept.
    pub fn load_pending(&mut self, buffer: &mut ReceiveBuffer) {
        buffer.begin(&mut self.pending);
    }

    /// Keeps what `buffer` holds for a later turn.
    pub fn keep_pending(&mut self, buffer: &mut ReceiveBuffer) {
        self.pending = buffer.finish();
    }

    /// Takes memory for the kept input, or gives back that of input that has gone. False: there is none.
    pub fn reserve_pending(&mut self) -> bool {
        match (&mut self.pending_memory, self.pending.len()) {
            (None, 0) => true,
            (held, 0) => {
                *held = None;
                true
            }
            (Some(held), len) => held.resize(len),
            (none, len) => {
                *none = REQUEST_MEMORY.reserve(len);
                none.is_some()
            }
        }
    }

    /// Gives up the kept input with its memory.
    pub fn drop_pending(&mut self) -> Vec<u8> {
        self.pending_memory = None;
        self.take_pending()
    }

    /// True if input behind the request at hand was dropped for want of memory.
    pub fn has_lost_input(&self) -> bool {
        self.has_lost_input
    }

    /// Remembers that input was dropped: the connection ends with its response.
    pub fn set_lost_input(&mut self) {
        self.has_lost_input = true;
    }
}
