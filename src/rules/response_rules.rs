//! Response rules that apply to one file, combined: ready bytes for the head, and settings.

use std::fmt;
use std::sync::Arc;

use super::covering::Covering;
use super::response_rule::{Cache, Change, Listing, ResponseRule};
use crate::request::Fields;

/// Effect of all response rules that cover one file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ResponseRules {
    /// Field lines for every response, line ends included.
    pub lines: Vec<u8>,
    /// Cache-Control and Expires lines of header actions. Errors are sent without them, so that no cache
    /// keeps an error.
    pub freshness: Vec<u8>,
    /// Time for which caches may keep the file.
    cache: Option<Cache>,
    /// Cache-Control line for responses that every client may have; empty for none.
    public: Vec<u8>,
    /// Cache-Control line for responses that only some clients may have; empty for none.
    private: Vec<u8>,
    /// Media type.
    pub media_type: Option<Box<str>>,
    /// Charset of text; `Some(None)` sends no charset.
    pub charset: Option<Option<Box<str>>>,
    /// Form in which the directory is listed.
    pub listing: Option<Listing>,
    /// Text at the foot of generated pages in place of the server's name; empty = no foot.
    pub signature: Option<Box<str>>,
    /// Names and values of the fields in `lines` and `freshness`.
    fields: Vec<(Box<str>, Box<str>)>,
    /// Fields that the server does not send by itself, as rules set or remove them.
    replaced: Vec<Box<str>>,
    /// Fields of scripts that are not sent.
    removed: Vec<Box<str>>,
    /// Origins that may read the response.
    origins: Vec<String>,
}

/// Rules of a file that no line covers.
static NO_RULES: ResponseRules = ResponseRules {
    lines: Vec::new(),
    freshness: Vec::new(),
    cache: None,
    public: Vec::new(),
    private: Vec::new(),
    media_type: None,
    charset: None,
    listing: None,
    signature: None,
    fields: Vec::new(),
    replaced: Vec::new(),
    removed: Vec::new(),
    origins: Vec::new(),
};

/// Owner of response rules.
///
/// A response that comes from the cache keeps the cached file alive and not the rules by themselves: workers
/// then change one reference count between them, and not two.
pub trait OwnsResponseRules: fmt::Debug + Send + Sync {
    /// The rules.
    fn response_rules(&self) -> &ResponseRules;
}

impl OwnsResponseRules for ResponseRules {
    fn response_rules(&self) -> &ResponseRules {
        self
    }
}

/// Response rules bound to one request.
#[derive(Debug, Clone)]
pub struct AppliedRules {
    /// Owner of the combined rules of the file.
    owner: Arc<dyn OwnsResponseRules>,
    /// Set if only some clients may have the response: shared caches must not keep it.
    pub private: bool,
    /// Value of Access-Control-Allow-Origin, if the request's origin may read the response.
    pub origin: Option<Box<[u8]>>,
}

/// Rules that apply to a cached file, stored with the cache entry.
#[derive(Debug)]
pub struct FileRules {
    /// Guards that cover any name of the file.
    pub covering: Covering,
    /// Combined response rules of the file.
    pub response_rules: Option<Arc<ResponseRules>>,
    /// Name that was looked up, if a rewrite has changed the requested name.
    pub rewritten: Option<Box<[u8]>>,
    /// Set if only some clients may have a precompressed form of the file.
    pub has_restricted_form: bool,
}

impl FileRules {
    /// Tells whether only some clients may have the response.
    pub fn is_restricted(&self) -> bool {
        self.has_restricted_form || self.covering.is_restricted()
    }
}

impl ResponseRules {
    /// Rules of a file that no line covers.
    pub fn none() -> &'static ResponseRules {
        &NO_RULES
    }

    /// Combines `lines` in order.
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
                    it.origins = origins.to_vec();
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
        (it.lines, it.freshness) = (lines, freshness);
        it
    }

    fn change(&mut self, change: Change, name: &str, value: &str) {
        if change != Change::Add {
            self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            // Vary lists the fields that select a response: the server's own Vary is sent beside the
            // operator's.
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

    /// Removes the field `name` set by earlier lines, since a later action sets the field.
    fn take_back(&mut self, name: &str) {
        self.fields.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.replaced.retain(|known| !known.eq_ignore_ascii_case(name));
    }

    /// Tells whether rules replace or remove the server's own field `name`.
    pub fn replaces(&self, name: &str) -> bool {
        self.replaced.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Tells whether rules remove a script's field `name`.
    pub fn removes(&self, name: &str) -> bool {
        self.removed.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Fields that are set or added.
    pub fn fields(&self) -> &[(Box<str>, Box<str>)] {
        &self.fields
    }

    /// Tells whether the response depends on the Origin field, so that Vary must name it.
    pub fn varies_by_origin(&self) -> bool {
        !self.origins.is_empty() && !self.allows_all()
    }

    fn allows_all(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    /// Value of Access-Control-Allow-Origin for a request from `origin`.
    fn allowed(&self, origin: Option<&[u8]>) -> Option<Box<[u8]>> {
        if self.allows_all() {
            return Some(b"*"[..].into());
        }
        let origin = origin?;
        self.origins.iter().any(|listed| listed.as_bytes() == origin).then(|| origin.into())
    }

    /// Tells whether pages of any other origin may read the file.
    pub fn has_origins(&self) -> bool {
        !self.origins.is_empty()
    }
}

impl AppliedRules {
    /// Binds the rules of `owner` to a request with `fields`; `private` tells that only some clients may have
    /// the response.
    pub fn new(owner: Arc<dyn OwnsResponseRules>, fields: &Fields<'_>, private: bool) -> AppliedRules {
        let rules = owner.response_rules();
        let origin = if rules.has_origins() { rules.allowed(fields.last("Origin")) } else { None };
        AppliedRules { owner, private, origin }
    }

    /// Combined rules of the file.
    pub fn response_rules(&self) -> &ResponseRules {
        self.owner.response_rules()
    }

    /// Cache-Control line of a file, and the seconds for Expires; `None` if no rule sets them.
    pub fn cache(&self) -> Option<(&[u8], Option<u32>)> {
        let rules = self.response_rules();
        let expires = match rules.cache? {
            Cache::Seconds(seconds) => Some(seconds),
            _ => None,
        };
        Some((if self.private { &rules.private } else { &rules.public }, expires))
    }
}

/// Cache-Control lines for responses that every client may have, and for private ones.
fn cache_lines(cache: Cache) -> (Vec<u8>, Vec<u8>) {
    let (public, private) = match cache {
        Cache::Seconds(seconds) => (format!("max-age={seconds}"), format!("private, max-age={seconds}")),
        Cache::Immutable => {
            ("public, max-age=31536000, immutable".into(), "private, max-age=31536000, immutable".into())
        }
        Cache::Revalidate => ("no-cache".into(), "no-cache".into()),
        Cache::Never => ("no-store".into(), "no-store".into()),
        Cache::Silent => return Default::default(),
    };
    let line = |value: String| format!("Cache-Control: {value}\r\n").into_bytes();
    (line(public), line(private))
}

/// Tells whether the field limits how long a response may be kept.
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
            let mut fields = Fields::with_capacity(1);
            origin.into_iter().for_each(|origin| fields.push("Origin", origin.as_bytes()));
            let applied_rules = AppliedRules::new(Arc::clone(&it) as _, &fields, false);
            applied_rules.origin.map(|origin| text(&origin).to_owned())
        };
        assert_eq!(allowed(Some("https://a.example")).as_deref(), Some("https://a.example"));
        assert_eq!(allowed(Some("https://b.example:8443")).as_deref(), Some("https://b.example:8443"));
        for other in [None, Some("null"), Some("https://a.example.evil"), Some("https://b.example")] {
            assert_eq!(allowed(other), None);
        }
        let any = Arc::new(response_rules(&[("cors", "*")]));
        assert_eq!(text(&any.lines), "");
        assert_eq!(
            AppliedRules::new(any, &Fields::with_capacity(0), false).origin.as_deref(),
            Some(&b"*"[..])
        );
    }

    #[test]
    fn restricted_files_are_private_to_caches() {
        for (word, public, private) in [
            ("60", "max-age=60", "private, max-age=60"),
            ("immutable", "public, max-age=31536000, immutable", "private, max-age=31536000, immutable"),
            ("revalidate", "no-cache", "no-cache"),
            ("never", "no-store", "no-store"),
            ("-", "", ""),
        ] {
            let it = Arc::new(response_rules(&[("cache", "5"), ("cache", word)]));
            let value = |private| {
                let applied_rules =
                    AppliedRules::new(Arc::clone(&it) as _, &Fields::with_capacity(0), private);
                let line = text(applied_rules.cache().unwrap().0).to_owned();
                line.trim_end().trim_start_matches("Cache-Control: ").to_owned()
            };
            assert_eq!((value(false).as_str(), value(true).as_str()), (public, private));
        }
    }
}
