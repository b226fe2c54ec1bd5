//! Options whose value is one of a few words.

/// A field that holds one of a few words.
pub trait Choice {
    /// Puts `word` in the field; false, and the field as it was, where the option does not know it.
    fn choose(&mut self, word: &str) -> bool;
    /// The word in the field.
    fn word(&self) -> &'static str;
    /// Every word that the option knows.
    fn words(&self) -> &'static [&'static str];
}

/// An enumeration whose values are written as words.
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
    /// What the entity tag of a file is made of (`etag`).
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
    /// How the redirect to a directory's slash names it (`redirects`).
    RedirectForm {
        /// As a path from the server's root.
        Absolute = "absolute",
        /// Relative to the target of the request.
        Relative = "relative",
    }
}

choice! {
    /// What lists of directories look like (`listing_style`).
    #[derive(Hash)]
    ListingStyle {
        /// In thttpd's columns.
        Classic = "classic",
        /// As a table that can be sorted.
        Modern = "modern",
        /// As JSON.
        Json = "json",
    }
}

choice! {
    /// How lines of the access log are written (`log_format`).
    LogFormat {
        /// The Combined log format.
        Combined = "combined",
        /// One JSON object a line.
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
