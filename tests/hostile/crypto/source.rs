//! Item 92 and rule H: what is and what is not in the source.

use std::path::{Path, PathBuf};

use sansock::handshake::HandshakeError;
use sansock::handshake::client::Outcome;

use super::answered;

/// The files under `src`, by their path in it, and what they say.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_string_lossy().replace('\\', "/");
    files.iter().map(|path| (name(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// What is compiled of a line: neither its comment nor what its strings say.
fn code(line: &str) -> String {
    let line = line.split("//").next().unwrap_or_default();
    line.split('"').step_by(2).collect()
}

/// How often a word stands in the code of a text.
fn count(text: &str, word: &str) -> usize {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.lines().map(|line| code(line).split(|c| !is_part(c)).filter(|part| *part == word).count()).sum()
}

#[test]
fn rule_h_unsafe_stands_where_it_is_explained() {
    let mut found: Vec<(String, usize)> =
        sources().into_iter().map(|(name, text)| (name, count(&text, "unsafe"))).collect();
    found.retain(|(_, count)| *count > 0);
    found.sort();
    // The calls into code for wider registers, and text that is not validated twice.
    assert_eq!(found, [("mask.rs".to_owned(), 2), ("utf8.rs".to_owned(), 1)]);
    for (name, text) in sources() {
        let lines: Vec<&str> = text.lines().collect();
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| count(line, "unsafe") > 0) {
            let above = &lines[at.saturating_sub(3)..at];
            assert!(above.iter().any(|line| line.contains("// SAFETY: ")), "{name}:{at}");
        }
    }
    let manifest = include_str!("../../../Cargo.toml");
    assert!(manifest.contains("\nunsafe_code = \"deny\"\n"));
}

#[test]
fn rule_h_the_count_of_unsafe_sees_what_it_must() {
    let text = "unsafe { x }\n// unsafe\n/// unsafe\nlet unsafe_code = \"unsafe\"; unsafe fn f() {}\nallow(unsafe_code)";
    assert_eq!(count(text, "unsafe"), 2);
}

#[test]
fn hostile_92_nothing_here_compares_secrets() {
    // Credentials are handed to the application as they came: there is no helper that would compare them, and
    // so none that could tell by its time. A new one must compare in constant time, and be named here.
    for (name, text) in sources() {
        for line in text.lines().map(|line| code(line).to_ascii_lowercase()) {
            let signs = [
                "authorization",
                "password",
                "bearer",
                "basic_auth",
                "credential",
                "secret",
                "constant_time",
            ];
            assert!(signs.iter().all(|sign| !line.contains(sign)), "{name}: {line}");
        }
    }
}

/// What a client makes of a 101 with the `Sec-WebSocket-Accept` that `change` makes of the right one.
fn judged(change: impl FnOnce(String) -> String) -> Result<(), HandshakeError> {
    let outcome = answered(|right| {
        let accept = change(right.to_owned());
        let start = "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
        [start, &accept, "\r\n\r\n"].concat().into_bytes()
    })?;
    assert!(matches!(outcome, Some(Outcome::Established(_))));
    Ok(())
}

#[test]
fn hostile_92_the_comparison_of_accept_is_exact() {
    // The key is public, so that the time of it tells nothing. But it must look at each character.
    assert_eq!(judged(|right| right), Ok(()));
    for at in 0..28 {
        let replaced = |byte: u8| {
            judged(move |right| {
                let mut bytes = right.into_bytes();
                assert_ne!(bytes[at], byte);
                bytes[at] = byte;
                String::from_utf8(bytes).unwrap()
            })
        };
        assert_eq!(replaced(b'!'), Err(HandshakeError::Accept), "{at}");
        let shorter = judged(move |mut right| {
            right.truncate(at);
            right
        });
        assert_eq!(shorter, Err(HandshakeError::Accept));
    }
    for more in ["=", "A", " A", ","] {
        assert_eq!(judged(|right| right + more), Err(HandshakeError::Accept));
    }
}
