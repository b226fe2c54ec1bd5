//! `--help`: the page, made from the table of options.

use super::Config;
use super::kind::Kind;
use super::options::{Group, OPTIONS, OptionSpec};

/// Page with every option by group, with its default.
pub fn page(program: &str) -> String {
    let name = program.rsplit('/').next().unwrap_or(program);
    let mut page = format!(
        "usage: {program} [DIR] [flag [value]]...\n\n\
         Serves the files of a directory over HTTP.\n\n\
         {0:LEFT$}DIR to this machine alone, until ^C\n\
         {1:LEFT$}DIR to everyone, on port 8080\n\
         {2:LEFT$}a server in the background, by a file\n\n\
         What everybody needs:\n",
        format!("  {name} DIR"),
        format!("  {name} DIR -p 8080"),
        format!("  {name} -C FILE"),
    );
    let needed = NEEDED.iter().filter_map(|flag| OPTIONS.iter().find(|row| row.flag == *flag));
    page.extend(needed.map(entry));
    page.push_str(
        "\nEach name below can be written in the config file that -C names, or after -o:\n\
         a name alone for what is on or off, else name=value. The last one counts.\n\
         A size may end in K, M or G. In a pattern * stops at a slash, ** does not,\n\
         ? is any one character, and | stands between alternatives.\n",
    );
    for group in Group::ALL {
        page.push_str(&format!("\n{}:\n", group.title()));
        for row in OPTIONS.iter().filter(|row| row.group == group) {
            page.push_str(&entry(row));
        }
    }
    page
}

/// Flags shown first.
const NEEDED: [&str; 5] = ["-d", "-p", "-h", "-l", "-C"];
/// Width of the column of words; the help text starts behind it.
const LEFT: usize = 30;
/// Width of the page in characters.
const WIDTH: usize = 80;

/// Lines of one option: its words, with the help text beside or below.
fn entry(row: &OptionSpec) -> String {
    let left = words(row);
    let right = wrap(&explained(row), WIDTH - LEFT);
    let start = if left.iter().any(|words| words.len() + 2 > LEFT) { left.len() } else { 0 };
    let mut lines = String::new();
    for at in 0..left.len().max(start + right.len()) {
        let words = left.get(at).map_or("", String::as_str);
        let help = at.checked_sub(start).and_then(|at| right.get(at)).map_or("", String::as_str);
        lines.push_str(format!("{words:LEFT$}{help}").trim_end());
        lines.push('\n');
    }
    lines
}

/// Words `-p, port=number`, and for a switch a second line with the words that turn it off.
fn words(row: &OptionSpec) -> Vec<String> {
    let own = match (row.name, row.kind.noun()) {
        ("", _) => format!("  {} {}", row.flag, row.value),
        (name, "") => format!("  {}{name}", before(row.flag)),
        (name, noun) => format!("  {}{name}={noun}", before(row.flag)),
    };
    let off = (!row.off_name.is_empty()).then(|| format!("  {}{}", before(row.off_flag), row.off_name));
    [Some(own), off].into_iter().flatten().collect()
}

/// Flag followed by a comma, for the position before a config-file name.
fn before(flag: &str) -> String {
    if flag.is_empty() { String::new() } else { format!("{flag}, ") }
}

/// Help text with the default.
fn explained(row: &OptionSpec) -> String {
    match default(row) {
        Some(default) => format!("{} [{default}]", row.help),
        None => row.help.to_owned(),
    }
}

/// Built-in value in words: as written, `on` or `off`, or the meaning of no value.
pub fn default(row: &OptionSpec) -> Option<String> {
    let value = row.kind.read(&mut Config::default());
    Some(match (&row.kind, value) {
        (Kind::CliAction(_), _) => return None,
        (Kind::Switch(_), value) => if value.is_some() { "on" } else { "off" }.to_owned(),
        (_, None) => row.unset.to_owned(),
        (_, Some(value)) if value.is_empty() => "empty".to_owned(),
        (_, Some(value)) => String::from_utf8_lossy(&value).into_owned(),
    })
}

/// Wraps `text` at blanks into lines of at most `width` bytes.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_begins_with_three_examples_and_the_five_flags_that_everybody_needs() {
        let page = page("/usr/sbin/thttpd");
        let first: Vec<&str> = page.lines().take(9).collect();
        assert_eq!(first[0], "usage: /usr/sbin/thttpd [DIR] [flag [value]]...");
        let examples = ["  thttpd DIR ", "  thttpd DIR -p 8080 ", "  thttpd -C FILE "];
        for (line, example) in first[4..7].iter().zip(examples) {
            assert!(line.starts_with(example), "{line}");
        }
        let needed = page.split("What everybody needs:\n").nth(1).unwrap().split("\n\n").next().unwrap();
        let flags: Vec<&str> =
            needed.lines().filter_map(|line| line.strip_prefix("  -")).map(|line| &line[..1]).collect();
        assert_eq!(flags, ["d", "p", "h", "l", "C"]);
    }

    #[test]
    fn the_page_has_every_word_of_every_option() {
        let page = page("thttpd");
        let words: Vec<&str> = page.split([' ', ',', '=', '\n']).collect();
        for (word, _) in OPTIONS.iter().flat_map(|row| row.names().chain(row.flags())) {
            let alias = OPTIONS.iter().any(|row| row.alias == word);
            assert!(words.contains(&word) || alias, "{word}");
        }
    }

    #[test]
    fn the_page_fits_a_terminal() {
        for line in page("/usr/local/sbin/thttpd").lines() {
            assert!(line.len() <= WIDTH && line.trim_end() == line, "{line}");
        }
    }

    #[test]
    fn an_entry_shows_words_help_and_default() {
        let entry_of = |name| entry(OPTIONS.iter().find(|row| row.name == name || row.flag == name).unwrap());
        assert_eq!(
            entry_of("port"),
            "  -p, port=number             port to listen on; 0 lets the kernel choose [80]\n"
        );
        assert_eq!(
            entry_of("vhost"),
            "  -v, vhost                   serve each host name from the directory of that\n  \
               -nov, novhost               name [off]\n"
        );
        assert_eq!(
            entry_of("max_connections_per_address"),
            "  max_connections_per_address=number\n                              \
               those of one address (IPv6: one /64); 0 is no\n                              bound [0]\n"
        );
        assert_eq!(entry_of("--explain"), "  --explain url               tell how a URL would be answered\n");
        assert_eq!(entry_of("p3p").trim_end().rsplit(' ').next(), Some("[empty]"));
    }
}
