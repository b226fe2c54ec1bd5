//! Script outputs, in pieces of every size, and the resulting responses.

use super::*;

const PARSED: ResponsePlan = ResponsePlan { version: Version::Http11, head_only: false, raw: false };

/// Result of an output: the bytes sent, the number of content bytes, and the end.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    sent: String,
    content: u64,
    finish: OutputEnd,
}

fn write_head(out: &mut Vec<u8>, head: &ScriptHead, framing: OutputFraming) {
    out.extend_from_slice(format!("<{} {framing:?}>", head.status).as_bytes());
}

fn send(translation: &mut OutputParser, sent: &mut Vec<u8>, at_once: usize) {
    while !translation.pending().is_empty() {
        let n = translation.pending().len().min(at_once);
        sent.extend_from_slice(&translation.pending()[..n]);
        translation.sent(n);
    }
}

/// Feeds `output` in pieces of `step` bytes, and sends `step` bytes at once.
fn run(response_plan: ResponsePlan, output: &str, step: usize, whole: bool) -> Result<Outcome, &'static str> {
    let mut translation = OutputParser::new(response_plan);
    let mut sent = Vec::new();
    let mut finish = None;
    for piece in output.as_bytes().chunks(step) {
        let taken = translation.take(piece, &mut write_head)?;
        send(&mut translation, &mut sent, step);
        if taken == ParseProgress::Enough {
            finish = Some(OutputEnd::Complete);
            break;
        }
        assert_eq!(taken, ParseProgress::More);
    }
    let finish = finish.unwrap_or_else(|| translation.finish(whole));
    send(&mut translation, &mut sent, step);
    let sent = String::from_utf8(sent).unwrap();
    Ok(Outcome { sent, content: translation.content_sent(), finish })
}

fn outcome(sent: &str, content: u64, finish: OutputEnd) -> Result<Outcome, &'static str> {
    Ok(Outcome { sent: sent.into(), content, finish })
}

/// Decodes chunks, so that outputs in different pieces compare equal.
fn dechunked(outcome: Outcome) -> Outcome {
    let Some((head, mut chunks)) = outcome.sent.split_once("Chunked>") else { return outcome };
    let mut content = String::new();
    while let Some((size, rest)) = chunks.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        content += &rest[..size];
        assert_eq!(&rest[size..size + 2], "\r\n");
        chunks = &rest[size + 2..];
        if size == 0 {
            content += "|";
        }
    }
    Outcome { sent: format!("{head}Chunked>{content}{chunks}"), ..outcome }
}

#[test]
fn content_without_a_length_is_chunked_for_1_1_and_ends_the_connection_for_1_0() {
    let output = "Content-Type: a/b\n\nhello world";
    for step in 1..=output.len() {
        let got = run(PARSED, output, step, true).map(dechunked);
        assert_eq!(got, outcome("<200 Chunked>hello world|", 11, OutputEnd::Complete), "in pieces of {step}");
        let response_plan = ResponsePlan { version: Version::Http10, ..PARSED };
        let got = run(response_plan, output, step, true);
        assert_eq!(
            got,
            outcome("<200 UntilClose>hello world", 11, OutputEnd::Complete),
            "in pieces of {step}"
        );
    }
}

#[test]
fn one_piece_is_one_chunk() {
    let got = run(PARSED, "A: b\n\nhello", 100, true);
    assert_eq!(got, outcome("<200 Chunked>5\r\nhello\r\n0\r\n\r\n", 5, OutputEnd::Complete));
    let got = run(PARSED, "A: b\n\n", 100, true);
    assert_eq!(got, outcome("<200 Chunked>0\r\n\r\n", 0, OutputEnd::Complete));
}

#[test]
fn a_content_length_is_kept_and_what_is_over_is_dropped() {
    for step in 1..30 {
        let got = run(PARSED, "Content-Length: 5\n\nhello world", step, true);
        assert_eq!(got, outcome("<200 Length(5)>hello", 5, OutputEnd::Complete), "in pieces of {step}");
        let got = run(PARSED, "Content-Length: 5\n\nhell", step, true).unwrap();
        assert!(matches!(got.finish, OutputEnd::Cut(_)), "{got:?}");
        assert_eq!(got.sent, "<200 Length(5)>hell");
    }
    let got = run(PARSED, "Content-Length: 0\n\nhello", 100, true);
    assert_eq!(got, outcome("<200 Length(0)>", 0, OutputEnd::Complete));
}

#[test]
fn head_requests_and_statuses_without_content_send_none() {
    let response_plan = ResponsePlan { head_only: true, ..PARSED };
    for step in 1..30 {
        let got = run(response_plan, "Content-Length: 5\n\nhello", step, true);
        assert_eq!(got, outcome("<200 NoContent>", 0, OutputEnd::Complete));
        let got = run(PARSED, "Status: 304\n\nhello", step, true);
        assert_eq!(got, outcome("<304 NoContent>", 0, OutputEnd::Complete));
        let got = run(PARSED, "Status: 205\n\nhello", step, true);
        assert_eq!(got, outcome("<205 Length(0)>", 0, OutputEnd::Complete));
    }
}

#[test]
fn raw_output_is_passed_on_untouched() {
    let raw = ResponsePlan { raw: true, ..PARSED };
    let output = "HTTP/1.0 203 Raw\r\nX-Raw: yes\r\n\r\nraw\n";
    for step in 1..=output.len() {
        let got = run(raw, output, step, true).unwrap();
        assert_eq!((got.sent.as_str(), got.finish), (output, OutputEnd::Complete));
        let head = run(ResponsePlan { head_only: true, ..raw }, output, step, true).unwrap();
        assert_eq!((head.sent.as_str(), head.content), ("HTTP/1.0 203 Raw\r\nX-Raw: yes\r\n\r\n", 0));
    }
    let mut translation = OutputParser::new(raw);
    translation.take(output.as_bytes(), &mut write_head).unwrap();
    assert_eq!((translation.status(), translation.keeps_connection()), (Some(203), false));
}

#[test]
fn a_raw_response_to_head_ends_with_its_final_head() {
    let raw = ResponsePlan { raw: true, head_only: true, ..PARSED };
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\nLink: <a>\n\n";
    for (before, last, status) in [
        (interim, "HTTP/1.1 404 Not Found\r\nX: y\r\n\r\n", 404),
        ("HTTP/1.1 100\n\n", "HTTP/1.0 203 Raw\n\n", 203),
        // Behind a head that changes the protocol, no other head follows.
        ("", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 200),
        ("", "HTTP/1.1 1000 Odd\r\n\r\n", 200),
        ("", "X: HTTP/1.1 100\r\n\r\n", 200),
        ("", "\r\n", 200),
    ] {
        let head = [before, last].concat();
        let output = [&head, "HTTP/1.1 200 OK\n\ncontent"].concat();
        for step in 1..=output.len() {
            let got = run(raw, &output, step, true).unwrap();
            assert_eq!((got.sent.as_str(), got.content), (head.as_str(), 0), "in pieces of {step}");
        }
        for response_plan in [raw, ResponsePlan { head_only: false, ..raw }] {
            let mut parser = OutputParser::new(response_plan);
            parser.take(output.as_bytes(), &mut write_head).unwrap();
            assert_eq!(parser.status(), Some(status), "{head:?}");
        }
    }
    let mut parser = OutputParser::new(raw);
    for piece in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n"] {
        parser.take(piece.as_bytes(), &mut write_head).unwrap();
        assert_eq!(parser.pending(), piece.as_bytes());
        parser.sent(piece.len());
    }
    assert_eq!(parser.status(), Some(204));
}

#[test]
fn output_without_a_head_can_still_be_answered_with_an_error() {
    for (response_plan, output) in [
        (PARSED, ""),
        (PARSED, "Content-Type: a/b\n"),
        (ResponsePlan { raw: true, ..PARSED }, ""),
        (ResponsePlan { raw: true, head_only: true, ..PARSED }, ""),
    ] {
        let got = run(response_plan, output, 100, true).unwrap();
        assert!(matches!(got.finish, OutputEnd::Nothing(_)), "{output:?} gives {got:?}");
        assert_eq!(got.sent, "");
    }
    assert!(run(PARSED, "no header at all\n\n", 5, true).is_err());
}

#[test]
fn the_response_of_a_script_that_was_ended_is_not_completed() {
    for version in [Version::Http11, Version::Http10] {
        let got = run(ResponsePlan { version, ..PARSED }, "A: b\n\nhello", 100, false).unwrap();
        assert!(matches!(got.finish, OutputEnd::Cut(_)));
        assert!(!got.sent.ends_with("0\r\n\r\n"));
    }
    // The declared length shows that the output is complete, whatever the script's exit.
    let got = run(PARSED, "Content-Length: 5\n\nhello", 100, false).unwrap();
    assert_eq!(got.finish, OutputEnd::Complete);
}

#[test]
fn a_head_without_end_is_refused_at_its_bound() {
    let line = "X-Field: 0123456789\n";
    let endless = line.repeat(head::MOST / line.len() + 1);
    assert!(run(PARSED, &endless, 4096, true).is_err());
}

#[test]
fn a_path_alone_is_a_redirect_within_the_server() {
    let mut translation = OutputParser::new(PARSED);
    assert_eq!(translation.take(b"Location: /hel", &mut write_head), Ok(ParseProgress::More));
    assert_eq!(
        translation.take(b"lo.txt\n\n", &mut write_head),
        Ok(ParseProgress::Redirect(b"/hello.txt".to_vec()))
    );
    assert!(translation.pending().is_empty());
}

#[test]
fn only_a_response_whose_end_is_framed_keeps_the_connection() {
    for (response_plan, output, keeps) in [
        (PARSED, "A: b\n\n", true),
        (PARSED, "Content-Length: 0\n\n", true),
        (ResponsePlan { version: Version::Http10, ..PARSED }, "Content-Length: 0\n\n", true),
        (ResponsePlan { version: Version::Http10, ..PARSED }, "A: b\n\n", false),
        (ResponsePlan { version: Version::Http10, head_only: true, ..PARSED }, "A: b\n\n", true),
    ] {
        let mut translation = OutputParser::new(response_plan);
        translation.take(output.as_bytes(), &mut write_head).unwrap();
        assert_eq!(translation.keeps_connection(), keeps, "{output:?}");
    }
}

const CHUNKED: &str = "Transfer-Encoding: chunked\n\n";

#[test]
fn chunks_of_a_script_are_decoded_and_framed_anew() {
    let output = format!("{CHUNKED}5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: x\r\n\r\nrubbish");
    for step in 1..=output.len() {
        let got = run(PARSED, &output, step, true).map(dechunked);
        assert_eq!(got, outcome("<200 Chunked>hello world|", 11, OutputEnd::Complete), "in pieces of {step}");
        let got = run(ResponsePlan { version: Version::Http10, ..PARSED }, &output, step, true);
        assert_eq!(
            got,
            outcome("<200 UntilClose>hello world", 11, OutputEnd::Complete),
            "in pieces of {step}"
        );
        let got = run(ResponsePlan { head_only: true, ..PARSED }, &output, step, true);
        assert_eq!(got, outcome("<200 NoContent>", 0, OutputEnd::Complete), "in pieces of {step}");
    }
}

#[test]
fn chunks_of_a_script_that_are_malformed_or_unfinished_are_never_completed() {
    for output in ["hello world", "5\r\nhelloX", "-1\r\n", "5\nhello\n0\n\n"] {
        let whole = [CHUNKED, output].concat();
        let mut at_once = OutputParser::new(PARSED);
        assert!(at_once.take(whole.as_bytes(), &mut write_head).is_err(), "{output}");
        assert_eq!(at_once.status(), None, "{output}: nothing is sent, so the client can be told");
        let mut later = OutputParser::new(PARSED);
        later.take(CHUNKED.as_bytes(), &mut write_head).unwrap();
        later.sent(later.pending().len());
        assert!(later.take(output.as_bytes(), &mut write_head).is_err(), "{output}");
        assert_eq!(later.status(), Some(200), "{output}: the head is sent, so the response is cut");
    }
    for output in ["", "5\r\nhel", "5\r\nhello\r\n", "5\r\nhello\r\n0\r\n"] {
        let got = run(PARSED, &[CHUNKED, output].concat(), 100, true).unwrap();
        assert!(matches!(got.finish, OutputEnd::Cut(_)), "{output}: {got:?}");
        assert!(!got.sent.ends_with("0\r\n\r\n"));
    }
}

#[test]
fn memory_of_sent_bytes_is_returned() {
    let mut parser = OutputParser::new(PARSED);
    let output = format!("A: b\n\n{}", "x".repeat(30_000));
    parser.take(output.as_bytes(), &mut write_head).unwrap();
    parser.sent(29_000);
    let rest = parser.pending().to_vec();
    assert_eq!(parser.release_sent(), rest.len());
    assert_eq!(parser.pending(), rest);
    parser.sent(rest.len());
    assert_eq!((parser.pending().len(), parser.content_sent()), (0, 30_000));
    parser.take(b"more", &mut write_head).unwrap();
    assert_eq!(parser.pending(), b"4\r\nmore\r\n");
}
