//! Options with a fixed set of words as values.

/// Field that holds one of a fixed set of words.
pub trait Choice {
    /// Sets the field to `word`; returns false and keeps the field if the word is unknown.
    fn choose(&mut self, word: &str) -> bool;
    /// Word of the current value.
    fn word(&self) -> &'static str;
    /// All words of the option.
    fn words(&self) -> &'static [&'static str];
}

/// Defines an enumeration whose values are written as words.
macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $value:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $($(#[$what])* $value,)+
        }

        impl Choice for $name {
            fn choose(&mut self, word: &str) -> bool {
                match word {
                    $($word => *self = $name::$value,)+
                    _ => return false,
                }
                true
            }

            fn word(&self) -> &'static str {
                match self {
                    $($name::$value => $word,)+
                }
            }

            fn words(&self) -> &'static [&'static str] {
                &[$($word),+]
            }
        }
    };
}

choice! {
    /// Source of entity tags (`etag`).
    EtagSource {
        /// Content, so that equal files have equal tags on every server.
        Content = "content",
        /// Inode number, length and times.
        File = "file",
        /// No tags are sent.
        None = "none",
    }
}

choice! {
    /// Form of the Location when redirecting to a directory's slash (`redirects`).
    RedirectForm {
        /// Path from the server's root.
        Absolute = "absolute",
        /// Path relative to the request target.
        Relative = "relative",
    }
}

choice! {
    /// Style of directory lists (`listing_style`).
    #[derive(Hash)]
    ListingStyle {
        /// Columns as in thttpd.
        Classic = "classic",
        /// Table that can be sorted.
        Modern = "modern",
        /// JSON array.
        Json = "json",
    }
}

choice! {
    /// Format of access log lines (`log_format`).
    LogFormat {
        /// The Combined log format.
        Combined = "combined",
        /// One JSON object per line.
        Json = "json",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_unknown_leaves_the_field_alone() {
        let mut source = EtagSource::Content;
        for word in EtagSource::Content.words() {
            assert!(source.choose(word));
            assert_eq!(source.word(), *word);
        }
        assert!(!source.choose("File") && !source.choose(""));
        assert_eq!(source, EtagSource::None);
    }
}
