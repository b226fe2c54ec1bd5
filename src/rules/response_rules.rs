//! What dress lines come to for one file: ready bytes, and what a response has to ask.

use std::sync::Arc;

use super::guard::Covering;
use super::response_rule::{Cache, Change, Listing, ResponseRule};

/// What the dress lines of one file come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResponseRules {
    /// Field lines for every response, line ends included.
    pub lines: Box<[u8]>,
    /// Cache-Control and Expires lines of header actions, for what is no error: what went wrong is never kept.
    pub freshness: Box<[u8]>,
    /// How long caches may keep the file.
    cache: Option<Cache>,
    /// The Cache-Control line that says so; empty where nothing is to be said.
    public: Box<[u8]>,
    /// The same for what not everybody may have.
    private: Box<[u8]>,
    /// The media type.
    pub media_type: Option<Box<str>>,
    /// The charset of text; `Some(None)` is none.
    pub charset: Option<Option<Box<str>>>,
    /// How the directory is listed.
    pub listing: Option<Listing>,
    /// What the foot of our pages says instead of the server's name; empty = there is no foot.
    pub signature: Option<Box<str>>,
    /// The fields of `lines` and `freshness`.
    fields: Vec<(Box<str>, Box<str>)>,
    /// Fields of ours that are not sent, as they are set or removed.
    replaced: Vec<Box<str>>,
    /// Fields of scripts that are not sent.
    removed: Vec<Box<str>>,
    /// Origins that may read it.
    origins: Box<[String]>,
}

/// A response's dress.
#[derive(Debug, Clone)]
pub struct AppliedRules {
    /// What its lines come to.
    pub response_rules: Arc<ResponseRules>,
    /// Not everybody may have it: shared caches must not keep it.
    pub private: bool,
    /// The origin that may read it, for Access-Control-Allow-Origin.
    pub origin: Option<Box<[u8]>>,
}

/// What the rules come to for a remembered file.
#[derive(Debug)]
pub struct Ruling {
    /// Guards that cover any of its names.
    pub covering: Covering,
    /// Its dress.
    pub response_rules: Option<Arc<ResponseRules>>,
    /// The name that was looked up, where a rewrite has made another of the one asked.
    pub rewritten: Option<Box<[u8]>>,
    /// A form of it, compressed beforehand, is not for everybody.
    pub has_restricted_form: bool,
}

impl Ruling {
    /// The dress of a response to a request from `origin`; `user` when a password was asked for.
    pub fn applied_rules(&self, origin: Option<&[u8]>, user: bool) -> Option<AppliedRules> {
        let response_rules = Arc::clone(self.response_rules.as_ref()?);
        let private = user || self.has_restricted_form || self.covering.is_restricted();
        Some(AppliedRules::new(response_rules, origin, private))
    }
}

impl ResponseRules {
    /// Applies `lines` in order.
    pub(super) fn combine<'d>(lines: impl Iterator<Item = &'d ResponseRule>) -> ResponseRules {
        let mut it = ResponseRules::default();
        for line in lines {
            match line {
                ResponseRule::Header(change, name, value) => it.change(*change, name, value),
                ResponseRule::Cache(cache) => {
                    it.take_back("Cache-Control");
                    it.take_back("Expires");
                    it.cache = Some(*cache);
                }
                ResponseRule::Type(media_type) => it.media_type = Some(media_type.clone()),
                ResponseRule::Charset(charset) => it.charset = Some(charset.clone()),
                ResponseRule::Cors(origins) => {
                    it.take_back("Access-Control-Allow-Origin");
                    it.origins = origins.clone();
                }
                ResponseRule::Listing(listing) => it.listing = Some(*listing),
            }
        }
        let (mut lines, mut freshness) = (Vec::new(), Vec::new());
        for (name, value) in &it.fields {
            let out = if is_freshness(name) { &mut freshness } else { &mut lines };
            for part in [name.as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                out.extend_from_slice(part);
            }
        }
        if it.varies_by_origin() {
            lines.extend_from_slice(b"Vary: Origin\r\n");
        }
        (it.public, it.private) = it.cache.map(cache_lines).unwrap_or_default();
        (it.lines, it.freshness) = (lines.into(), freshness.into());
        it
    }

    fn change(&mut self, change: Change, name: &str, value: &str) {
        if change != Change::Add {
            self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            // Vary tells what a response depends on: ours stays true beside the operator's.
            if !name.eq_ignore_ascii_case("Vary") {
                self.replaced.push(name.into());
            }
            if name.eq_ignore_ascii_case("Server") {
                self.signature = Some(value.into());
            }
        }
        match change {
            Change::Remove => self.removed.push(name.into()),
            Change::Set | Change::Add => self.fields.push((name.into(), value.into())),
        }
    }

    /// Forgets what lines above say of the field `name`, which another action says now.
    fn take_back(&mut self, name: &str) {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.replaced.retain(|known| !known.eq_ignore_ascii_case(name));
    }

    /// Is the server's own field `name` left out?
    pub fn replaces(&self, name: &str) -> bool {
        self.replaced.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Is a script's field `name` left out?
    pub fn removes(&self, name: &str) -> bool {
        self.removed.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The fields that are set or added.
    pub fn fields(&self) -> &[(Box<str>, Box<str>)] {
        &self.fields
    }

    /// Is another response sent to other origins?
    pub fn varies_by_origin(&self) -> bool {
        !self.origins.is_empty() && !self.allows_all()
    }

    fn allows_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    /// What Access-Control-Allow-Origin says to a request from `origin`.
    fn allowed(&self, origin: Option<&[u8]>) -> Option<Box<[u8]>> {
        if self.allows_all() {
            return Some(b"*"[..].into());
        }
        let origin = origin?;
        self.origins.iter().any(|listed| listed.as_bytes() == origin).then(|| origin.into())
    }

    /// May pages of other sites read the file at all?
    pub fn has_origins(&self) -> bool {
        !self.origins.is_empty()
    }
}

impl AppliedRules {
    /// The dress of a response to a request from `origin`; `private` as there.
    pub fn new(response_rules: Arc<ResponseRules>, origin: Option<&[u8]>, private: bool) -> AppliedRules {
        let origin = if response_rules.has_origins() { response_rules.allowed(origin) } else { None };
        AppliedRules { response_rules, private, origin }
    }

    /// The Cache-Control line of a file, and the seconds for Expires; none where no line says anything.
    pub fn cache(&self) -> Option<(&[u8], Option<u32>)> {
        let expires = match self.response_rules.cache? {
            Cache::Seconds(seconds) => Some(seconds),
            _ => None,
        };
        Some((if self.private { &self.response_rules.private } else { &self.response_rules.public }, expires))
    }
}

/// The Cache-Control lines of what everybody may have, and of what not everybody may.
fn cache_lines(cache: Cache) -> (Box<[u8]>, Box<[u8]>) {
    let (public, private) = match cache {
        Cache::Seconds(seconds) => (format!("max-age={seconds}"), format!("private, max-age={seconds}")),
        Cache::Immutable => {
            ("public, max-age=31536000, immutable".into(), "private, max-age=31536000, immutable".into())
        }
        Cache::Revalidate => ("no-cache".into(), "no-cache".into()),
        Cache::Never => ("no-store".into(), "no-store".into()),
        Cache::Silent => return Default::default(),
    };
    let line = |value: String| format!("Cache-Control: {value}\r\n").into_bytes().into();
    (line(public), line(private))
}

/// Does the field say how long a response may be kept?
pub fn is_freshness(name: &str) -> bool {
    name.eq_ignore_ascii_case("Cache-Control") || name.eq_ignore_ascii_case("Expires")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response_rules(lines: &[(&str, &str)]) -> ResponseRules {
        let lines: Vec<ResponseRule> =
            lines.iter().map(|(word, rest)| ResponseRule::parse(word, rest).unwrap()).collect();
        ResponseRules::combine(lines.iter())
    }

    fn text(bytes: &[u8]) -> &str {
        str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn fields_are_set_added_and_removed_in_order() {
        let it = response_rules(&[
            ("header", "X-A: 1"),
            ("header", "x-a: 2"),
            ("header", "+X-A: 3"),
            ("header", "X-B: 4"),
            ("header", "-X-B"),
            ("header", "Vary: Cookie"),
            ("header", "-Server"),
        ]);
        assert_eq!(text(&it.lines), "x-a: 2\r\nX-A: 3\r\nVary: Cookie\r\n");
        assert!(it.replaces("X-A") && it.replaces("server") && !it.replaces("Vary"));
        assert!(it.removes("x-b") && !it.removes("X-A"));
        assert_eq!(it.signature.as_deref(), Some(""));
    }

    #[test]
    fn of_a_field_that_two_actions_say_the_last_counts() {
        let cached =
            response_rules(&[("header", "Cache-Control: own"), ("header", "Expires: 0"), ("cache", "60")]);
        assert_eq!((text(&cached.freshness), cached.replaces("Cache-Control")), ("", false));
        let own = response_rules(&[("cache", "60"), ("header", "Cache-Control: own")]);
        assert_eq!((text(&own.freshness), own.replaces("Cache-Control")), ("Cache-Control: own\r\n", true));
        let field = "Access-Control-Allow-Origin";
        let listed =
            response_rules(&[("header", "Access-Control-Allow-Origin: *"), ("cors", "https://a.example")]);
        assert_eq!((text(&listed.lines), listed.replaces(field)), ("Vary: Origin\r\n", false));
        let own =
            response_rules(&[("cors", "https://a.example"), ("header", "-Access-Control-Allow-Origin")]);
        assert!(own.replaces(field) && own.removes(field));
    }

    #[test]
    fn an_origin_that_is_listed_is_reflected_and_another_is_not() {
        let it = Arc::new(response_rules(&[("cors", "https://a.example https://b.example:8443")]));
        assert_eq!(text(&it.lines), "Vary: Origin\r\n");
        let allowed = |origin: Option<&str>| {
            let applied_rules = AppliedRules::new(Arc::clone(&it), origin.map(str::as_bytes), false);
            applied_rules.origin.map(|origin| text(&origin).to_owned())
        };
        assert_eq!(allowed(Some("https://a.example")).as_deref(), Some("https://a.example"));
        assert_eq!(allowed(Some("https://b.example:8443")).as_deref(), Some("https://b.example:8443"));
        for other in [None, Some("null"), Some("https://a.example.evil"), Some("https://b.example")] {
            assert_eq!(allowed(other), None);
        }
        let any = Arc::new(response_rules(&[("cors", "*")]));
        assert_eq!(text(&any.lines), "");
        assert_eq!(AppliedRules::new(any, None, false).origin.as_deref(), Some(&b"*"[..]));
    }

    #[test]
    fn what_not_everybody_may_have_is_kept_by_no_shared_cache() {
        for (word, public, private) in [
            ("60", "max-age=60", "private, max-age=60"),
            ("immutable", "public, max-age=31536000, immutable", "private, max-age=31536000, immutable"),
            ("revalidate", "no-cache", "no-cache"),
            ("never", "no-store", "no-store"),
            ("-", "", ""),
        ] {
            let it = Arc::new(response_rules(&[("cache", "5"), ("cache", word)]));
            let value = |private| {
                let applied_rules = AppliedRules::new(Arc::clone(&it), None, private);
                let line = text(applied_rules.cache().unwrap().0).to_owned();
                line.trim_end().trim_start_matches("Cache-Control: ").to_owned()
            };
            assert_eq!((value(false).as_str(), value(true).as_str()), (public, private));
        }
    }
}
