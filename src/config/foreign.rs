//! Configuration files of other servers: detection by their words, and a hint to the manual.

use std::sync::Arc;

/// Another server, and words of its config file that thttpd does not have.
struct Foreign {
    name: &'static str,
    is_word: fn(&str) -> bool,
}

/// Servers that thttpd-migration(7) has a section for.
const SERVERS: [Foreign; 6] = [
    Foreign { name: "merecat", is_word: |word| MERECAT.contains(&bare(word)) },
    Foreign { name: "mini_httpd", is_word: |word| MINI_HTTPD.contains(&bare(word)) },
    Foreign { name: "busybox httpd", is_word: is_busybox },
    Foreign { name: "lighttpd", is_word: |word| LIGHTTPD.iter().any(|prefix| word.starts_with(prefix)) },
    Foreign { name: "nginx", is_word: |word| NGINX.contains(&bare(word)) },
    Foreign { name: "static-web-server", is_word: is_static_web_server },
];

const MERECAT: [&str; 21] = [
    "hostname",
    "directory",
    "username",
    "virtual-host",
    "global-passwd",
    "check-symlinks",
    "check-referer",
    "local-pattern",
    "url-pattern",
    "list-dotfiles",
    "data-directory",
    "max-age",
    "compression-level",
    "user-agent-deny",
    "server",
    "location",
    "redirect",
    "cgi",
    "php",
    "ssi",
    "ssl",
];

const MINI_HTTPD: [&str; 3] = ["ssl", "certfile", "cipher"];

const LIGHTTPD: [&str; 8] = [
    "server.",
    "url.",
    "mimetype.",
    "accesslog.",
    "dir-listing.",
    "index-file.",
    "cgi.assign",
    "auth.backend",
];

const NGINX: [&str; 16] = [
    "http",
    "events",
    "server",
    "server_name",
    "location",
    "worker_processes",
    "sendfile",
    "include",
    "root",
    "try_files",
    "return",
    "rewrite",
    "add_header",
    "access_log",
    "error_log",
    "proxy_pass",
];

const STATIC_WEB_SERVER: [&str; 7] = [
    "page404",
    "page-fallback",
    "security-headers",
    "cache-control-headers",
    "directory-listing",
    "compression",
    "root",
];

/// A table of TOML, or an option.
fn is_static_web_server(word: &str) -> bool {
    let is_table = ["[general]", "[advanced]", "[[advanced."].iter().any(|table| word.starts_with(table));
    is_table || STATIC_WEB_SERVER.contains(&bare(word))
}

/// The word before a blank, a sign of equality, or a brace.
fn bare(word: &str) -> &str {
    word.split([' ', '=', '{', '"']).next().unwrap_or_default()
}

/// Tells whether a line is in the form of BusyBox httpd.
///
/// Forms: `H:/www`, `A:10.`, `E404:/page`, `*.php:/usr/bin/php-cgi`, `.ext:media/type`,
/// `/path:user:password`.
fn is_busybox(word: &str) -> bool {
    let Some((key, value)) = word.split_once(':') else { return false };
    match key.as_bytes() {
        [b'H' | b'A' | b'D' | b'I' | b'P'] => true,
        [b'E', code @ ..] => code.len() == 3 && code.iter().all(u8::is_ascii_digit),
        [b'*', b'.', ..] => value.starts_with('/'),
        [b'.', ..] => value.contains('/'),
        [b'/', ..] => value.contains(':'),
        _ => false,
    }
}

/// A refused option of a file.
pub struct RefusedWord<'a> {
    /// Its words as written.
    pub written: &'a str,
    /// The file and line.
    pub place: &'a (Arc<str>, usize),
}

/// Hint about the file that the `refused` options are in, where most of their lines have another server's
/// words.
pub fn hint<'a>(refused: impl Iterator<Item = RefusedWord<'a>>) -> Option<String> {
    let is_word = |one: &RefusedWord<'_>| one.written.contains(|c: char| c.is_ascii_alphanumeric());
    let in_files: Vec<RefusedWord<'_>> = refused.filter(is_word).collect();
    let lines = |is_counted: &dyn Fn(&RefusedWord<'_>) -> bool| {
        let counted = in_files.iter().filter(|one| is_counted(one));
        let mut places: Vec<_> = counted.map(|one| one.place).collect();
        places.dedup();
        places.len()
    };
    let count = |server: &Foreign| lines(&|one| (server.is_word)(one.written));
    // Of equal counts the first wins, since merecat has TLS words too.
    let best = SERVERS.iter().rev().max_by_key(|server| count(server))?;
    let (file, _) = in_files.first()?.place;
    let is_likely = count(best) > 0 && count(best) * 2 >= lines(&|_| true);
    is_likely.then(|| {
        format!(
            "{file}: the words are those of {}: thttpd-migration(7) says what replaces each of them",
            best.name
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::config::error::ConfigErrors;
    use crate::config::file;
    use crate::config::settings::Settings;

    fn told(text: &str) -> String {
        let mut settings = Settings::default();
        file::parse(text.as_bytes(), "conf", &mut settings);
        ConfigErrors { program: "thttpd".to_owned(), list: settings.problems }.to_string()
    }

    #[test]
    fn a_configuration_of_another_server_is_known_by_its_words() {
        for (server, text) in [
            ("merecat", "hostname = \"www\"\nvirtual-host = true\ncheck-symlinks = false\n"),
            (
                "merecat",
                "port = 80\nserver default {\n  ssl {\n    certfile = x\n  }\n}\nlocation \"/a\" {\n}\n",
            ),
            ("mini_httpd", "port=443\nssl\ncertfile=/etc/mini_httpd.pem\ncipher=ALL\n"),
            ("busybox httpd", "H:/srv/www\nA:192.168.\nD:*\n*.php:/usr/bin/php-cgi\n"),
            ("busybox httpd", "/private:ada:s3cret\n.tgz:application/gzip\nE404:/404.html\n"),
            (
                "merecat",
                "server default {\n    port = 80\n    redirect \"/**\" {\n        code = 301\n    }\n}\n\
                 server secure {\n    ssl {\n    }\n    location \"/i/\" {\n    }\n}\n",
            ),
            ("mini_httpd", "port=443\nuser=www-data\nssl\ncertfile=x.pem\n"),
            ("busybox httpd", "A:172.20.\nA:10.0.0.0/25\nD:172.20.1.1\n/adm:admin:setup\n.au:audio/basic\n"),
            (
                "lighttpd",
                "server.modules = (\n  \"mod_access\",\n)\nserver.errorlog = \"/l\"\nurl.rewrite = ( )\n",
            ),
            (
                "nginx",
                "user www;\nevents { worker_connections 768; }\nhttp {\n    sendfile on;\n    server {\n        \
                 listen 80;\n        server_name _;\n        location / { try_files $uri =404; }\n    }\n}\n",
            ),
            ("nginx", "server {\n    root /srv;\n    location /a { return 301 /b; }\n}\n"),
            (
                "static-web-server",
                "[general]\nhost = \"::\"\nport = 87\nroot = \"./public\"\npage404 = \"./404.html\"\n",
            ),
            ("lighttpd", "server.port = 80\nserver.document-root = \"/srv\"\n"),
        ] {
            let told = told(text);
            let hint = format!(
                "conf: the words are those of {server}: thttpd-migration(7) says what replaces each of them"
            );
            assert_eq!(told.lines().last(), Some(hint.as_str()), "{told}");
        }
    }

    #[test]
    fn a_slip_in_a_file_of_ours_is_no_other_server() {
        for text in ["prot=80", "port=x", "nolistings", "dir", "port=80x\nvirtual=1\nssl\n"] {
            assert!(!told(text).contains("migration"), "{}", told(text));
        }
    }
}
