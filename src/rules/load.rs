//! Loading of the rules that a configuration names.

use std::io;
use std::path::Path;

use super::guard::Guard;
use super::line::Fault;
use super::pattern::Pattern;
use super::reader::Reader;
use super::rule_set::Rules;
use crate::config::origin::Origin;
use crate::config::printable::joined;
use crate::config::{Config, foreign};
use crate::sys::{named, read_lines};

impl Rules {
    /// Reads lines of a file called `name`, for tests.
    ///
    /// # Errors
    /// Every line that is not as it should be.
    #[cfg(any(test, feature = "internals"))]
    pub fn parse(content: &[u8], name: &str) -> Result<Rules, Vec<Fault>> {
        let mut reader = Reader::default();
        reader.file(content, name);
        Rules::read(reader)
    }

    /// Reads the rules of `config`: the rules file and `rule` lines. Relative paths start from `start`.
    ///
    /// # Errors
    /// The rules file cannot be read; or, as invalid data, all faults, a line each, with their place.
    pub fn load(config: &Config, start: &Path) -> io::Result<Rules> {
        let mut reader = Reader::default();
        let mut hint = None;
        if let Some(path) = &config.rules_file {
            let content = read_lines(&start.join(path));
            let content = content.map_err(|error| named(&format!("rules={}", path.display()), &error))?;
            let name = path.to_string_lossy();
            reader.file(&content, &name);
            hint = foreign::hint(&name, &content, reader.faults.iter().filter_map(Fault::line).collect());
        }
        for text in &config.rules {
            reader.line(text.as_bytes(), Origin::Assignment);
        }
        let dir = config.dir.as_deref().unwrap_or(Path::new("."));
        let mut served = Vec::new();
        for (line, file) in reader.rules.all_auth_files() {
            if file.is_served_below(dir, start) {
                let name = file.path.display();
                let text =
                    format!("{name} lies in the served directory: name it .ht..., or put it elsewhere");
                served.push((line.place.clone(), text));
            }
        }
        for (place, text) in served {
            reader.fault(&place, text);
        }
        let lines = |faults: Vec<Fault>| {
            let lines = joined(hint.as_deref(), &mut faults.iter().map(Fault::to_string));
            io::Error::new(io::ErrorKind::InvalidData, lines)
        };
        let mut rules = Rules::read(reader).map_err(lines)?;
        for line in &mut rules.guards {
            if let Guard::Auth(Some(file)) = &mut line.action {
                file.open(start);
            }
        }
        Ok(rules)
    }

    fn read(reader: Reader) -> Result<Rules, Vec<Fault>> {
        if !reader.faults.is_empty() {
            return Err(reader.faults);
        }
        let mut rules = reader.rules;
        let asks = |pattern: &Pattern| {
            pattern.alternatives().iter().any(|one| one.host.is_some() || one.scheme.is_some())
        };
        let asks_for_site = rules.patterns().any(asks);
        rules.asks_for_site = asks_for_site;
        Ok(rules)
    }
}
