//! The arguments of a program: `--name value`, `--flag`, and words without dashes.

use std::str::FromStr;

use crate::Res;

pub struct Args(Vec<String>);

impl Args {
    pub fn new() -> Self {
        Args(std::env::args().skip(1).collect())
    }

    /// The words before the first option.
    pub fn words(&self) -> Vec<&str> {
        self.0.iter().map(String::as_str).take_while(|arg| !arg.starts_with("--")).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|arg| arg == name)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|arg| arg == name)?;
        self.0.get(at + 1).map(String::as_str)
    }

    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Res<T> {
        let Some(value) = self.get(name) else { return Ok(default) };
        value.parse().map_err(|_| format!("{name}: {value} is no number").into())
    }

    /// Whether an option that lists values, with commas between them, names this one or is absent. A star
    /// at the end of a value stands for any ending.
    pub fn wants(&self, name: &str, value: &str) -> bool {
        let names = |item: &str| match item.strip_suffix('*') {
            Some(start) => value.starts_with(start),
            None => value == item,
        };
        self.get(name).is_none_or(|list| list.split(',').any(names))
    }

    /// Fails on options that do not exist: a typing error must not become a measurement.
    pub fn allow(&self, known: &[&str]) -> Res {
        match self.0.iter().find(|arg| arg.starts_with("--") && !known.contains(&arg.as_str())) {
            Some(arg) => Err(format!("{arg}? There are: {}", known.join(" ")).into()),
            None => Ok(()),
        }
    }
}

impl Default for Args {
    fn default() -> Self {
        Args::new()
    }
}
