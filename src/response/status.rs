//! Status codes and their reason phrases (RFC 9110 §15).

/// Status code of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status(pub u16);

impl Status {
    /// Reason phrase of the code.
    ///
    /// Only scripts can send codes without a registered phrase. They get the phrase of their class (RFC
    /// 9110 §15).
    pub fn reason(self) -> &'static str {
        match self.0 {
            100 => "Continue",
            101 => "Switching Protocols",
            200 => "OK",
            201 => "Created",
            202 => "Accepted",
            203 => "Non-Authoritative Information",
            204 => "No Content",
            205 => "Reset Content",
            206 => "Partial Content",
            207 => "Multi-Status",
            300 => "Multiple Choices",
            301 => "Moved Permanently",
            302 => "Found",
            303 => "See Other",
            304 => "Not Modified",
            307 => "Temporary Redirect",
            308 => "Permanent Redirect",
            400..=499 => self.client_error(),
            501 => "Not Implemented",
            502 => "Bad Gateway",
            503 => "Service Unavailable",
            504 => "Gateway Timeout",
            505 => "HTTP Version Not Supported",
            507 => "Insufficient Storage",
            _ => self.class(),
        }
    }

    /// Tells whether the status carries a file or confirms a cached one: 200, 206, 304.
    pub fn is_of_file(self) -> bool {
        matches!(self.0, 200 | 206 | 304)
    }

    fn class(self) -> &'static str {
        match self.0 / 100 {
            1 => "Informational",
            2 => "Success",
            3 => "Redirection",
            4 => "Bad Request",
            _ => "Internal Server Error",
        }
    }

    fn client_error(self) -> &'static str {
        match self.0 {
            401 => "Unauthorized",
            402 => "Payment Required",
            403 => "Forbidden",
            404 => "Not Found",
            405 => "Method Not Allowed",
            406 => "Not Acceptable",
            407 => "Proxy Authentication Required",
            408 => "Request Timeout",
            409 => "Conflict",
            410 => "Gone",
            411 => "Length Required",
            412 => "Precondition Failed",
            413 => "Content Too Large",
            414 => "URI Too Long",
            415 => "Unsupported Media Type",
            416 => "Range Not Satisfiable",
            417 => "Expectation Failed",
            421 => "Misdirected Request",
            422 => "Unprocessable Content",
            423 => "Locked",
            424 => "Failed Dependency",
            425 => "Too Early",
            426 => "Upgrade Required",
            428 => "Precondition Required",
            429 => "Too Many Requests",
            431 => "Request Header Fields Too Large",
            451 => "Unavailable For Legal Reasons",
            _ => self.class(),
        }
    }

    /// Tells whether the status is 4xx or 5xx.
    pub fn is_error(self) -> bool {
        self.0 >= 400
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn every_code_a_script_may_send_has_a_phrase_that_fits_its_class() {
        for (code, phrase) in [
            (200, "OK"),
            (206, "Partial Content"),
            (304, "Not Modified"),
            (299, "Success"),
            (399, "Redirection"),
            (416, "Range Not Satisfiable"),
            (499, "Bad Request"),
            (500, "Internal Server Error"),
            (503, "Service Unavailable"),
            (599, "Internal Server Error"),
        ] {
            assert_eq!(Status(code).reason(), phrase, "{code}");
        }
        assert!((100..600).all(|code| !Status(code).reason().is_empty()));
    }

    #[test]
    fn errors_begin_at_400() {
        assert!(!Status(399).is_error());
        assert!(Status(400).is_error());
    }
}
