//! Field lines of one head: ordered, names compared without case, borrowed from the head's bytes.

/// Field lines in their order of arrival.
///
/// Names and values are slices of the head. Values have no outer blanks (RFC 9112 §5.1).
#[derive(Debug, Clone, Default)]
pub struct Fields<'b> {
    lines: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Fields<'b> {
    /// Empty list with capacity for `n` lines.
    pub fn with_capacity(n: usize) -> Fields<'b> {
        Fields { lines: Vec::with_capacity(n) }
    }

    /// Appends one field line.
    pub fn push(&mut self, name: &'b str, value: &'b [u8]) {
        self.lines.push((name, value));
    }

    /// All lines in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + '_ {
        self.lines.iter().copied()
    }

    /// All values of `name`, in order.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        self.lines.iter().filter(move |(n, _)| n.eq_ignore_ascii_case(name)).map(|&(_, v)| v)
    }

    /// Last value of `name`: thttpd's rule for fields that cannot be combined.
    pub fn last(&self, name: &str) -> Option<&'b [u8]> {
        self.lines.iter().rev().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|&(_, v)| v)
    }

    /// Members of the list field `name` from all its lines, without empty ones (RFC 9110 §5.6.1).
    pub fn members<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'b [u8]> + 's {
        let members = self.all(name).flat_map(|value| value.split(|&b| b == b',')).map(<[u8]>::trim_ascii);
        members.filter(|member| !member.is_empty())
    }

    /// Tells whether the list field `name` holds `token`, without regard to case.
    pub fn has_token(&self, name: &str, token: &str) -> bool {
        self.members(name).any(|member| member.eq_ignore_ascii_case(token.as_bytes()))
    }
}
