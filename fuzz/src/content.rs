//! Content and its framing.

use thttpd::request::BodyLength;
use thttpd::request::body::BodyReader;

/// In whatever pieces content arrives, it comes to the same.
pub fn body(data: &[u8]) {
    let (step, rest) = super::step(data);
    let Some((&kind, input)) = rest.split_first() else { return };
    let length = if kind & 1 == 0 { BodyLength::Chunked } else { BodyLength::Length(u64::from(kind)) };
    let whole = read(length, input, input.len().max(1));
    assert_eq!(read(length, input, step), whole);
    if let Ok((content, used, complete)) = whole {
        assert!(used <= input.len() && content.len() <= used);
        assert!(complete || used == input.len(), "bytes left of content that is not complete");
    }
}

type Read = Result<(Vec<u8>, usize, bool), u16>;

fn read(length: BodyLength, input: &[u8], step: usize) -> Read {
    let mut reader = BodyReader::new(length);
    let mut content = Vec::new();
    let (mut used, mut complete) = (0, false);
    for piece in input.chunks(step) {
        let mut keep = |bytes: &[u8]| {
            content.extend_from_slice(bytes);
            Ok(())
        };
        let (n, done) = reader.read(piece, &mut keep).map_err(|rejection| rejection.status)?;
        (used, complete) = (used + n, done);
        if done {
            break;
        }
    }
    Ok((content, used, complete))
}
