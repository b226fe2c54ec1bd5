//! Configuration files of other servers: detection by their words, and a hint to the manual.

use super::printable::printable;

/// Another server, or another kind of file, and its words that thttpd does not have.
struct Foreign {
    name: &'static str,
    /// First words of lines, and long flags; a word with a `*` at its end is the beginning of a line.
    words: &'static str,
    /// Tells whether a line has the form of such files, whatever its words.
    is_line: fn(&str) -> bool,
}

/// Servers that thttpd-migration(7) has a section for. Of equal counts the first wins, since merecat has the
/// words of others too.
const SERVERS: [Foreign; 11] = [
    Foreign {
        name: "merecat",
        words: "hostname directory username virtual-host global-passwd check-symlinks check-referer local-pattern \
                url-pattern list-dotfiles data-directory max-age compression-level user-agent-deny server location \
                cgi php ssi ssl",
        is_line: |_| false,
    },
    Foreign { name: "mini_httpd", words: "ssl certfile cipher", is_line: |_| false },
    Foreign { name: "busybox httpd", words: "", is_line: is_busybox },
    Foreign {
        name: "lighttpd",
        words: "server.* url.* mimetype.* accesslog.* dir-listing.* index-file.* cgi.assign* auth.* static-file.* \
                alias.* expire.* setenv.* ssl.* fastcgi.* proxy.* evhost.* simple-vhost.* deflate.* compress.* \
                include_shell var.* $HTTP* $SERVER*",
        // Members of lists are quoted, and so are names in JSON; `"dir=/srv"` is a slip.
        is_line: |line| {
            line.starts_with('"') && !line.contains("\":") && (!line.contains('=') || has_blank(line))
        },
    },
    // Lines of no other server end in a semicolon; values of fields have one inside, and `port=80;` is a slip.
    Foreign {
        name: "nginx",
        words: "http events server upstream types map",
        is_line: |line| {
            (line.ends_with(';') || line.contains("; }")) && has_blank(line) && !line.contains("header ")
        },
    },
    Foreign {
        name: "Apache",
        words: "<* ServerRoot ServerName ServerAlias ServerAdmin ServerTokens ServerSignature Listen LoadModule User \
                Group Include IncludeOptional DocumentRoot DirectoryIndex DirectorySlash UserDir PidFile Timeout \
                KeepAlive KeepAliveTimeout MaxKeepAliveRequests HostnameLookups ErrorLog CustomLog TransferLog \
                LogFormat LogLevel ErrorDocument TypesConfig AddType ForceType DefaultType AddHandler SetHandler \
                AddCharset AddDefaultCharset AddEncoding AddLanguage AddOutputFilter* SetOutputFilter Options \
                AllowOverride AccessFileName AuthType AuthName AuthUserFile AuthGroupFile AuthBasic* Require Order \
                Allow Deny Satisfy Redirect* Rewrite* Alias AliasMatch ScriptAlias* Action Header RequestHeader \
                SetEnv* BrowserMatch* ExpiresActive ExpiresByType ExpiresDefault FileETag IndexOptions IndexIgnore \
                HeaderName ReadmeName Proxy* SSL* Limit* php_value php_flag",
        is_line: is_apache,
    },
    Foreign {
        name: "static-web-server",
        words: "[general]* [advanced]* [[advanced.* page404 page-fallback security-headers cache-control-headers \
                directory-listing compression root --root --host --page404 --page-fallback --cors-allow-origins \
                source destination kind virtual-hosts --security-headers --cache-control-headers \
                --directory-listing --config-file",
        is_line: |line| line.contains("static-web-server "),
    },
    Foreign {
        name: "Caddy",
        words: "{$* :* @* (* localhost localhost:* root encode file_server reverse_proxy php_fastcgi handle \
                handle_path handle_errors route respond redir uri try_files basicauth basic_auth \
                import log tls bind templates",
        is_line: |line| line == "{" || line.starts_with("http") && line.ends_with('{'),
    },
    Foreign {
        name: "darkhttpd",
        words: "--addr --daemon --chroot --uid --gid --maxconn --syslog --pidfile --no-keepalive --no-server-id \
                --no-listing --mimetypes --default-mimetype --accf --forward --forward-all --forward-https --ipv6 \
                --single-file --hide-dotfiles --trusted-ip",
        is_line: |line| line.to_ascii_lowercase().contains("darkhttpd"),
    },
    Foreign { name: "a _redirects file", words: "", is_line: is_redirect },
    Foreign { name: "a _headers file", words: "!", is_line: is_field_line },
];

impl Foreign {
    /// Tells whether `line`, without comment and outer blanks, is in the words or the form of the server.
    fn has(&self, line: &str) -> bool {
        let known = |word: &str| !word.is_empty() && self.words.split(' ').any(|one| one == word);
        let begins = |one: &str| one.strip_suffix('*').is_some_and(|beginning| line.starts_with(beginning));
        let mut words = line.split([' ', '\t', '=', '{', '"']);
        words.next().is_some_and(known)
            || words.any(|word| word.starts_with("--") && known(word))
            || self.words.split(' ').any(begins)
            || (self.is_line)(line)
    }
}

/// Tells whether a line has more than one word.
fn has_blank(line: &str) -> bool {
    line.contains([' ', '\t'])
}

/// Tells whether a line is in the form of BusyBox httpd.
///
/// Forms: `H:/www`, `A:10.`, `E404:/page`, `*.php:/usr/bin/php-cgi`, `.ext:media/type`,
/// `/path:user:password`.
fn is_busybox(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else { return false };
    if has_blank(key) {
        return false;
    }
    match key.as_bytes() {
        [b'H' | b'A' | b'D' | b'I' | b'P'] => true,
        [b'E', code @ ..] => code.len() == 3 && code.iter().all(u8::is_ascii_digit),
        [b'*', b'.', ..] => value.starts_with('/'),
        [b'.', ..] => value.contains('/'),
        [b'/', ..] => value.contains(':') && !value.contains(' '),
        _ => false,
    }
}

/// Tells whether a line of Apache's, whose words may be in any case, lets clients in or keeps them out.
fn is_apache(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    ["deny from ", "allow from ", "order deny,", "order allow,", "require all "]
        .iter()
        .any(|start| line.starts_with(start))
}

/// Tells whether a line goes from one path or URL to another, as in `/old /new 301`.
fn is_redirect(line: &str) -> bool {
    let is_place = |word: &str| word.starts_with('/') || word.starts_with("http");
    let mut words = line.split_whitespace();
    // Words for the query may stand between: `/store id=:id /blog/:id`.
    words.next().is_some_and(is_place) && words.find(|word| !word.contains('=')).is_some_and(is_place)
}

/// Tells whether a line is a field line of HTTP, as in `X-Frame-Options: DENY`; names without a hyphen are rare
/// there, and `Port: 80` is a slip.
fn is_field_line(line: &str) -> bool {
    let is_name = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_uppercase())
            && name.contains('-')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    line.split_once(": ").is_some_and(|(name, _)| is_name(name))
}

/// Hint about the file `name` with the content `text`, where most of the lines that were refused have another
/// server's words.
///
/// `refused`: numbers of those lines in their order, counted from 1.
pub fn hint(name: &str, text: &[u8], mut refused: Vec<usize>) -> Option<String> {
    refused.sort_unstable();
    refused.dedup();
    let mut counts = [0; SERVERS.len()];
    let (mut lines, mut seen) = (0, 0);
    for (number, line) in (1..).zip(text.split(|&b| b == b'\n')) {
        if refused.get(seen) != Some(&number) {
            continue;
        }
        seen += 1;
        let line = without_comment(&String::from_utf8_lossy(line));
        if !line.contains(|c: char| c.is_ascii_alphanumeric()) {
            continue;
        }
        lines += 1;
        for (count, server) in counts.iter_mut().zip(&SERVERS) {
            *count += usize::from(server.has(&line));
        }
    }
    let mut best = 0;
    for server in 1..SERVERS.len() {
        if counts[server] > counts[best] {
            best = server;
        }
    }
    let is_likely = counts[best] > 0 && counts[best] * 2 >= lines;
    is_likely.then(|| {
        let (name, server) = (printable(name.as_bytes()), SERVERS[best].name);
        format!(
            "{name}: the words are those of {server}: thttpd-migration(7) says what replaces each of them"
        )
    })
}

/// Server that has the refused flag `flag`.
pub fn server_with(flag: &str) -> Option<&'static str> {
    let flag = flag.split('=').next().unwrap_or_default();
    let has = |server: &&Foreign| flag.starts_with("--") && server.words.split(' ').any(|word| word == flag);
    SERVERS.iter().find(has).map(|server| server.name)
}

fn without_comment(line: &str) -> String {
    let line = line.trim();
    let end = line.find(" #").unwrap_or(line.len());
    line[..end].trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::hint;
    use crate::config::error::ConfigErrors;
    use crate::config::settings::Settings;
    use crate::config::{Config, args, file};
    use crate::rules::{Fault, Rules};

    /// Files of other servers that no rules file is.
    const FILES: [(&str, &str); 16] = [
        ("Apache", "RewriteEngine On\nRewriteCond %{REQUEST_FILENAME} !-f\nRewriteRule ^ index.html [L]\n"),
        ("Apache", "AuthType Basic\nAuthName \"Staff\"\nAuthUserFile /etc/users\nRequire valid-user\n"),
        ("Apache", "order deny,allow\ndeny from all\nallow from 10.0.0.0/8\n"),
        (
            "Apache",
            "<IfModule mod_expires.c>\n  ExpiresActive On\n  ExpiresByType text/css \"access plus 1 day\"\n\
             </IfModule>\nErrorDocument 404 /404.html\nAddType font/x .woff\nOptions -Indexes\n\
             Redirect 301 /a /b\nHeader set X-A \"b\"\n",
        ),
        ("a _redirects file", "/old /new 301\n"),
        ("a _redirects file", "# moved\n/a/* /b/:splat\n/n/:year/:name /b/:name 302!\n/* /index.html 200\n"),
        ("a _redirects file", "https://www.e.org/* https://e.org/:splat 301\n/store id=:id /blog/:id 301\n"),
        (
            "a _headers file",
            "/*\n  X-Frame-Options: DENY\n  X-A: b\n/a/*\n  Cache-Control: max-age=600\n  ! Link\n",
        ),
        ("Caddy", ":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n"),
        (
            "Caddy",
            "example.com {\n\troot * /srv\n\tencode gzip\n\tfile_server browse\n\theader /a* X-A b\n}\n",
        ),
        ("Caddy", "{\n\tadmin off\n}\n\nlocalhost\n\nreverse_proxy localhost:9000\n"),
        (
            "nginx",
            "server {\n    root /srv;\n    location /a { return 301 /b; }\n    expires 30d; # a month\n}\n",
        ),
        (
            "lighttpd",
            "server.modules = (\n\t\"mod_indexfile\",\n\t\"mod_alias\",\n)\nserver.http-parseopts = (\n  \
             \"host-strict\" => \"enable\",# default\n)\ninclude_shell \"/usr/share/lighttpd/create-mime.conf.pl\"\n",
        ),
        ("darkhttpd", "/usr/bin/darkhttpd /srv/www --port 8080 --log access.log\n"),
        ("darkhttpd", "/srv/www --port 8080 --daemon --no-listing\n"),
        ("static-web-server", "[[advanced.redirects]]\nsource = \"/a\"\ndestination = \"/b\"\nkind = 301\n"),
    ];

    fn told(text: &str) -> String {
        let mut settings = Settings::default();
        file::parse(text.as_bytes(), "conf", &mut settings);
        ConfigErrors { program: "thttpd".to_owned(), list: settings.problems, hint: settings.hint }
            .to_string()
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
            (
                "Apache",
                "ServerRoot \"/etc/httpd\"\nListen 80\nLoadModule dir_module modules/mod_dir.so\nUser apache\n\
                 <VirtualHost *:80>\n    ServerName www.e.org\n    DocumentRoot \"/srv/www\"\n    \
                 <Directory \"/srv/www\">\n        Require all granted\n    </Directory>\n</VirtualHost>\n",
            ),
        ]
        .into_iter()
        .chain(FILES)
        {
            let told = told(text);
            let hint = format!(
                "conf: the words are those of {server}: thttpd-migration(7) says what replaces each of them"
            );
            assert_eq!(told.lines().next(), Some(hint.as_str()), "{told}");
            assert!(told.lines().count() <= 10, "the hint scrolls off a terminal: {told}");
        }
    }

    #[test]
    fn a_file_in_json_or_ini_form_is_no_other_server() {
        for text in
            ["{\"port\": 80}\n", "{ \"port\": 80,\n  \"dir\": \"/srv\" }\n", "[site]\nprot=80\n", "= a\n"]
        {
            assert!(!told(text).contains("migration"), "{}", told(text));
        }
    }

    #[test]
    fn a_rules_file_of_another_server_is_known_by_its_words() {
        for (server, text) in FILES {
            let path = std::env::temp_dir().join(format!("thttpd-foreign-{}", std::process::id()));
            std::fs::write(&path, text).unwrap();
            let config = Config { rules_file: Some(path.clone()), ..Config::default() };
            let told = Rules::load(&config, Path::new("/")).unwrap_err().to_string();
            std::fs::remove_file(path).unwrap();
            assert!(
                told.lines().next().is_some_and(|first| first.ends_with(&format!(
                    ": the words are those of {server}: thttpd-migration(7) says what replaces each of them"
                ))),
                "{told}"
            );
        }
    }

    #[test]
    fn a_slip_in_a_rules_file_is_no_other_server() {
        for text in [
            "a redirct /b",
            "a\nb/**",
            "** header",
            "/old redirect /new 301\n",
            "a /b\nb rewrit /c\nc try\n",
            "https://*/** redirct 301 /x",
            "localhost/** dney 10.0.0.1",
            "**.html header Content-Type: text/html; charset=latin1",
            "** header Strict-Transport-Security max-age=1; includeSubDomains",
            "** header Content-Security-Policy default-src 'self';",
            ".well-known/a\theader Content-Type: application/json",
            "** cache 1\n   header Keep-Alive: 7\n   header X-A: 1",
            "** cache 1\n\theader Content-Type: text/html; charset=latin1;",
            "a/** cache 1\n     rewrite /b c\n",
            "a/** cache 1\n     redirect 301 /b c\n",
        ] {
            let faults = Rules::parse(text.as_bytes(), "rules").unwrap_err();
            let lines = faults.iter().filter_map(Fault::line).collect();
            assert_eq!(hint("rules", text.as_bytes(), lines), None, "{text}");
        }
    }

    #[test]
    fn a_flag_of_another_server_is_known() {
        let told = |flag: &str| args::parse(&[flag.into()], "thttpd").unwrap_err().to_string();
        for (flag, server) in [
            ("--maxconn", "darkhttpd"),
            ("--no-keepalive", "darkhttpd"),
            ("--cors-allow-origins=a", "static-web-server"),
        ] {
            let end = format!("thttpd --help lists them all, thttpd-migration(7) those of {server}");
            assert!(told(flag).ends_with(&end), "{}", told(flag));
            assert_eq!(told(flag).lines().count(), 1);
        }
        assert!(told("--wrong").ends_with("thttpd --help lists them all"), "{}", told("--wrong"));
    }

    #[test]
    fn a_slip_in_a_file_of_ours_is_no_other_server() {
        for text in [
            "prot=80",
            "port=x",
            "nolistings",
            "dir",
            "port=80x\nvirtual=1\nssl\n",
            "port=80;",
            "dir=/w\nchroot;",
            "\"dir=/w\"",
        ] {
            assert!(!told(text).contains("migration"), "{}", told(text));
        }
    }
}
