//! A script's output → a response.

use thttpd::cgi::head::ScriptHead;
use thttpd::cgi::output_parser::{OutputEnd, OutputFraming, OutputParser, ParseProgress, ResponsePlan};
use thttpd::request::body::BodyReader;
use thttpd::request::{BodyLength, Version};

/// In whatever pieces a script writes, the client gets the same, and well framed.
pub fn output(data: &[u8]) {
    let (step, rest) = super::step(data);
    let Some((&kind, output)) = rest.split_first() else { return };
    let version = if kind & 1 == 0 { Version::Http11 } else { Version::Http10 };
    let response_plan = ResponsePlan { version, head_only: kind & 2 != 0, raw: kind & 4 != 0 };
    let whole = translate(response_plan, output, output.len().max(1));
    assert_eq!(translate(response_plan, output, step), whole);
}

/// Status, fields and content as the client reads them, or why there is none.
type Outcome = Result<(Option<u16>, String, Vec<u8>), &'static str>;

fn translate(response_plan: ResponsePlan, output: &[u8], step: usize) -> Outcome {
    let mut translation = OutputParser::new(response_plan);
    let mut read = Read::default();
    let mut pieces = output.chunks(step);
    let end = loop {
        let Some(piece) = pieces.next() else { break translation.finish(true) };
        let (framing, said) = (&mut read.framing, &mut read.fields);
        let mut write_head = |_: &mut Vec<u8>, head: &ScriptHead, how: OutputFraming| {
            *framing = Some(how);
            *said = format!("{} {:?} {:?} {:?}", head.status, head.reason, head.length, head.fields);
        };
        match translation.take(piece, &mut write_head)? {
            ParseProgress::More => read.take(&mut translation),
            ParseProgress::Enough => break OutputEnd::Complete,
            ParseProgress::Redirect(to) => {
                return Ok((None, String::from_utf8_lossy(&to).into_owned(), Vec::new()));
            }
        }
    };
    read.take(&mut translation);
    match end {
        OutputEnd::Nothing(why) => Err(why),
        OutputEnd::Cut(_) | OutputEnd::Complete => {
            // Of a raw response the first piece tells the log its status; the client sees no difference.
            let status = translation.status().filter(|_| !response_plan.raw);
            let fields = std::mem::take(&mut read.fields);
            Ok((status, fields, read.content()))
        }
    }
}

/// Bytes that a client has received.
#[derive(Default)]
struct Read {
    framing: Option<OutputFraming>,
    fields: String,
    bytes: Vec<u8>,
}

impl Read {
    fn take(&mut self, translation: &mut OutputParser) {
        self.bytes.extend_from_slice(translation.pending());
        translation.sent(translation.pending().len());
        assert!(translation.pending().is_empty());
    }

    fn content(self) -> Vec<u8> {
        match self.framing {
            Some(OutputFraming::Chunked) => {
                let mut content = Vec::new();
                let mut keep = |bytes: &[u8]| {
                    content.extend_from_slice(bytes);
                    Ok(())
                };
                let read = BodyReader::new(BodyLength::Chunked).read(&self.bytes, &mut keep);
                assert_eq!(read, Ok((self.bytes.len(), true)), "chunks");
                content
            }
            Some(OutputFraming::NoContent) => {
                assert!(self.bytes.is_empty(), "content where there is none");
                self.bytes
            }
            Some(OutputFraming::Length(length)) => {
                assert!(self.bytes.len() as u64 <= length, "more than its length");
                self.bytes
            }
            _ => self.bytes,
        }
    }
}
