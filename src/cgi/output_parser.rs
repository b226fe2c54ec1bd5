//! Output parser: turns a script's output into response bytes. Pure: no pipe, no socket.
//!
//! The connection passes script output to [`OutputParser::take`], sends the bytes in
//! [`pending`](OutputParser::pending), reports them as [sent](OutputParser::sent), and reads more only when
//! no byte is pending. A script can thus fill one buffer only.
//!
//! The framing of the response is decided here (RFC 9112 §6): the script's Content-Length, checked; else
//! chunks for 1.1; else the end of the connection. Chunks of the script itself are decoded first. Output of
//! `nph-` scripts and output for HTTP/0.9 requests is passed on unchanged.

use std::ops::Range;

use super::head::{self, EndFinder, RawHead, ScriptHead, ScriptResponse};
use crate::request::body::BodyReader;
use crate::request::{BodyLength, Method, Request, Version};

/// Framing by which the client finds the end of the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFraming {
    /// No content (HEAD, 204, 304).
    NoContent,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// End of the connection.
    UntilClose,
}

/// Properties of the request that the response depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponsePlan {
    /// Version of the request.
    pub version: Version,
    /// Set for HEAD: the script's content is not sent.
    pub head_only: bool,
    /// Set if the output is the whole response with its status line, passed on unchanged.
    pub raw: bool,
}

impl ResponsePlan {
    /// Plan for `request`, answered by the script file `name`.
    ///
    /// The response is raw if the base name begins with `nph-` (RFC 3875 §5), or for HTTP/0.9, which has no
    /// heads.
    pub fn new(request: &Request<'_>, name: &[u8]) -> ResponsePlan {
        let base = name.rsplit(|&b| b == b'/').next().unwrap_or(name);
        ResponsePlan {
            version: request.version,
            head_only: request.method == Method::Head,
            raw: base.starts_with(b"nph-") || request.version == Version::Http09,
        }
    }
}

/// Function that writes a response head to the buffer: status line, fields, empty line.
pub type WriteHead<'a> = &'a mut dyn FnMut(&mut Vec<u8>, &ScriptHead, OutputFraming);

/// Result of parsing a piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseProgress {
    /// More output is needed.
    More,
    /// The response is complete; further output is ignored.
    Enough,
    /// The script requests an internal redirect: path and query.
    Redirect(Vec<u8>),
}

/// End of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputEnd {
    /// Complete response; the pending bytes complete it.
    Complete,
    /// Truncated response: the connection must be closed so that the client notices. The text is the
    /// reason.
    Cut(&'static str),
    /// No response: no byte was sent, so that an error page can be. The text is the reason.
    Nothing(&'static str),
}

/// Parser state for the output of one script.
#[derive(Debug)]
pub struct OutputParser {
    response_plan: ResponsePlan,
    phase: OutputPhase,
    /// Incomplete head; later the bytes to send.
    buffer: Vec<u8>,
    /// Start of the unsent part of the buffer.
    at: usize,
    /// Part of the buffer that is content.
    content: Range<usize>,
    /// Decoder for the script's own chunks.
    decoder: Option<BodyReader>,
    /// Status of the response, if known.
    status: Option<u16>,
    content_sent: u64,
}

/// Part of the output that is being parsed.
#[derive(Debug, Clone, Copy)]
enum OutputPhase {
    /// Head of the script's response.
    Head(EndFinder),
    /// Heads of a raw response to HEAD: passed on, without the content behind the final one.
    RawHead(RawHead),
    /// Content, with this framing.
    Content(OutputFraming),
    /// Content that is not sent.
    Discarded,
}

impl OutputParser {
    /// Parser before the first byte of output.
    pub fn new(response_plan: ResponsePlan) -> OutputParser {
        let phase = match (response_plan.raw, response_plan.head_only) {
            (false, _) => OutputPhase::Head(EndFinder::new()),
            (true, true) => OutputPhase::RawHead(RawHead::default()),
            (true, false) => OutputPhase::Content(OutputFraming::UntilClose),
        };
        let buffer = Vec::new();
        OutputParser {
            response_plan,
            phase,
            buffer,
            at: 0,
            content: 0..0,
            decoder: None,
            status: None,
            content_sent: 0,
        }
    }

    /// Takes the next piece of output, while no byte is pending.
    ///
    /// # Errors
    /// The fault of the head or of the script's chunks, as a sentence for the log. No byte was sent if
    /// there is no [status](OutputParser::status) yet.
    pub fn take(&mut self, output: &[u8], write_head: WriteHead<'_>) -> Result<ParseProgress, &'static str> {
        match self.phase {
            OutputPhase::Head(finder) => self.take_head(output, finder, write_head),
            OutputPhase::RawHead(raw) => Ok(self.take_raw_head(output, raw)),
            OutputPhase::Content(framing) => {
                self.clear();
                if self.response_plan.raw {
                    self.status.get_or_insert_with(|| raw_status(output));
                }
                self.take_content(output, framing)
            }
            OutputPhase::Discarded => Ok(ParseProgress::More),
        }
    }

    /// Ends the output; `whole` tells whether the script's exit allows to take the output as complete.
    pub fn finish(&mut self, whole: bool) -> OutputEnd {
        match self.phase {
            OutputPhase::Head(_) if self.buffer.is_empty() => OutputEnd::Nothing("it wrote nothing"),
            OutputPhase::Head(_) => OutputEnd::Nothing("its output ended before its head did"),
            _ if self.response_plan.raw && self.status.is_none() => OutputEnd::Nothing("it wrote nothing"),
            OutputPhase::Content(OutputFraming::Length(left)) if left > 0 => {
                OutputEnd::Cut("it wrote less than its Content-Length")
            }
            OutputPhase::Content(_) if self.decoder.is_some() => {
                OutputEnd::Cut("its chunked content ended early")
            }
            OutputPhase::Content(OutputFraming::Chunked | OutputFraming::UntilClose) if !whole => {
                OutputEnd::Cut("it was ended before its output was complete")
            }
            OutputPhase::Content(OutputFraming::Chunked) => {
                self.clear();
                self.end_content(OutputFraming::Chunked);
                OutputEnd::Complete
            }
            _ => OutputEnd::Complete,
        }
    }

    /// Bytes to send next.
    pub fn pending(&self) -> &[u8] {
        match self.phase {
            OutputPhase::Head(_) => &[],
            _ => &self.buffer[self.at..],
        }
    }

    /// Removes `n` sent bytes from the pending ones.
    pub fn sent(&mut self, n: usize) {
        let until = (self.at + n).min(self.buffer.len());
        let content = self.at.max(self.content.start)..until.min(self.content.end);
        self.content_sent += content.len() as u64;
        self.at = until;
    }

    /// Returns the memory of sent bytes to the allocator, and tells the bytes that the pending ones still take.
    pub fn release_sent(&mut self) -> usize {
        self.buffer.drain(..self.at);
        self.buffer.shrink_to_fit();
        let from_start = |at: usize| at.saturating_sub(self.at);
        self.content = from_start(self.content.start)..from_start(self.content.end);
        self.at = 0;
        self.buffer.capacity()
    }

    /// Number of content bytes sent, for the access log.
    pub fn content_sent(&self) -> u64 {
        self.content_sent
    }

    /// Status of the response, if it has begun; of a raw response, the status in its first line.
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Tells whether the connection can take another request after a complete response.
    pub fn keeps_connection(&self) -> bool {
        !self.response_plan.raw && !matches!(self.phase, OutputPhase::Content(OutputFraming::UntilClose))
    }

    fn take_head(
        &mut self,
        output: &[u8],
        mut finder: EndFinder,
        write_head: WriteHead<'_>,
    ) -> Result<ParseProgress, &'static str> {
        let end = finder.find(output);
        let belongs = end.unwrap_or(output.len());
        if self.buffer.len() + belongs > head::MOST {
            return Err("its head is too large");
        }
        self.buffer.extend_from_slice(&output[..belongs]);
        self.phase = OutputPhase::Head(finder);
        if end.is_none() {
            return Ok(ParseProgress::More);
        }
        let script = match head::parse(&self.buffer)? {
            ScriptResponse::LocalRedirect(to) => return Ok(ParseProgress::Redirect(to)),
            ScriptResponse::Document(script) => script,
        };
        let framing = self.framing(&script);
        self.status = Some(script.status);
        self.clear();
        write_head(&mut self.buffer, &script, framing);
        self.content = self.buffer.len()..self.buffer.len();
        if framing == OutputFraming::NoContent {
            self.phase = OutputPhase::Discarded;
            return Ok(ParseProgress::More);
        }
        if script.chunked && matches!(framing, OutputFraming::Chunked | OutputFraming::UntilClose) {
            self.decoder = Some(BodyReader::new(BodyLength::Chunked));
        }
        self.take_content(&output[belongs..], framing).inspect_err(|_| self.status = None)
    }

    fn framing(&self, script: &ScriptHead) -> OutputFraming {
        match (script.length, self.response_plan.version) {
            // RFC 9110 §9.3.2, §15.3.5, §15.4.5.
            _ if self.response_plan.head_only || matches!(script.status, 204 | 304) => {
                OutputFraming::NoContent
            }
            // A 205 response has no content, and declares a length of zero (RFC 9110 §15.3.6).
            _ if script.status == 205 => OutputFraming::Length(0),
            (Some(length), _) => OutputFraming::Length(length),
            (None, Version::Http11) => OutputFraming::Chunked,
            (None, _) => OutputFraming::UntilClose,
        }
    }

    fn take_raw_head(&mut self, mut output: &[u8], mut raw: RawHead) -> ParseProgress {
        self.clear();
        loop {
            // The final head comes last.
            if !output.is_empty() && raw.is_at_start() {
                self.status = Some(status_at(output));
            }
            let end = raw.find(output);
            let (head, rest) = output.split_at(end.unwrap_or(output.len()));
            self.buffer.extend_from_slice(head);
            self.phase = match end {
                // The final head follows an interim one (RFC 9110 §15.2).
                Some(_) if raw.is_interim() => {
                    (output, raw) = (rest, RawHead::default());
                    continue;
                }
                Some(_) => OutputPhase::Discarded,
                None => OutputPhase::RawHead(raw),
            };
            return ParseProgress::More;
        }
    }

    /// Appends content to the buffer, with the script's own framing removed.
    fn take_content(&mut self, output: &[u8], framing: OutputFraming) -> Result<ParseProgress, &'static str> {
        let Some(mut decoder) = self.decoder.take() else { return Ok(self.append(output, framing)) };
        let mut content = Vec::with_capacity(output.len());
        let mut keep = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        let (_, is_complete) =
            decoder.read(output, &mut keep).map_err(|_| "its chunked content is malformed")?;
        let taken = self.append(&content, framing);
        if !is_complete {
            self.decoder = Some(decoder);
            return Ok(taken);
        }
        self.end_content(framing);
        Ok(ParseProgress::Enough)
    }

    /// Ends the content: writes the last chunk if needed, and ignores further output.
    fn end_content(&mut self, framing: OutputFraming) {
        if framing == OutputFraming::Chunked {
            self.buffer.extend_from_slice(b"0\r\n\r\n");
        }
        self.phase = OutputPhase::Discarded;
    }

    fn append(&mut self, output: &[u8], framing: OutputFraming) -> ParseProgress {
        let (wanted, framing) = match framing {
            OutputFraming::Length(left) => {
                let n = usize::try_from(left).map_or(output.len(), |left| left.min(output.len()));
                (&output[..n], OutputFraming::Length(left - n as u64))
            }
            other => (output, other),
        };
        let chunked = framing == OutputFraming::Chunked && !wanted.is_empty();
        if chunked {
            self.buffer.extend_from_slice(format!("{:x}\r\n", wanted.len()).as_bytes());
        }
        let start = self.buffer.len();
        self.buffer.extend_from_slice(wanted);
        self.content = start..self.buffer.len();
        if chunked {
            self.buffer.extend_from_slice(b"\r\n");
        }
        self.phase = OutputPhase::Content(framing);
        if framing == OutputFraming::Length(0) { ParseProgress::Enough } else { ParseProgress::More }
    }

    fn clear(&mut self) {
        self.buffer.clear();
        self.at = 0;
        self.content = 0..0;
    }
}

/// Status of a raw response for the log.
///
/// A status line is read from the first piece of output, behind interim heads. If it is not complete there,
/// or missing, 200 is logged, as thttpd always does.
fn raw_status(mut output: &[u8]) -> u16 {
    let mut raw = RawHead::default();
    while let Some(end) = raw.find(output).filter(|_| raw.is_interim()) {
        (output, raw) = (&output[end..], RawHead::default());
    }
    status_at(output)
}

/// Status of the head that `output` begins with.
fn status_at(output: &[u8]) -> u16 {
    let line = output.split(|&b| b == b'\n').next().unwrap_or(output);
    head::status_of_line(line.trim_ascii_end()).unwrap_or(200)
}

#[cfg(test)]
mod tests;
