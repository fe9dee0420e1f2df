//! Values of `Sec-WebSocket-Extensions` (RFC 6455 §9.1): any bytes, against a reader that takes them for
//! words and signs first. What is read can be written, and says the same again. Linear in memory: twice the
//! value and 1 KiB at the most, all of which is freed, in no more allocations than there are bytes.
//!
//! An input is the value.

#![no_main]

mod counted;

use libfuzzer_sys::fuzz_target;
use sansock::handshake::extension;

use crate::counted::{allocations, held};

fuzz_target!(|value: &[u8]| {
    let walk = || extension::parse(value).flatten().for_each(|offer| offer.params().for_each(drop));
    let ((), kept, peak) = held(walk);
    assert!(kept == 0 && peak <= 2 * value.len() as isize + 1024, "{kept} and {peak} bytes");
    assert!(allocations(walk) <= value.len());

    let parsed = parse(value);
    assert_eq!(parsed, expected(value));
    let mut text = Vec::new();
    for extension in parsed.iter().flatten() {
        text.push(extension.to_string());
    }
    let again = parse(text.join(",").as_bytes());
    assert!(again.iter().flatten().eq(parsed.iter().flatten()), "{again:?}, not {parsed:?}");
    assert!(again.iter().all(Result::is_ok));
});

#[derive(Debug, Default, PartialEq, Eq)]
struct Extension {
    name: String,
    params: Vec<Param>,
}

#[derive(Debug, PartialEq, Eq)]
struct Param {
    name: String,
    value: Option<String>,
}

impl std::fmt::Display for Extension {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        for Param { name, value } in &self.params {
            match value {
                None => write!(f, ";{name}")?,
                // It is the same in quotes.
                Some(value) if value.len() > 3 => {
                    let escaped: String = value.chars().flat_map(|char| ['\\', char]).collect();
                    write!(f, "\t; {name} = \"{escaped}\" ")?;
                }
                Some(value) => write!(f, "; {name}={value}")?,
            }
        }
        Ok(())
    }
}

/// The list as the crate reads it, the error as its last element.
fn parse(value: &[u8]) -> Vec<Result<Extension, ()>> {
    let mut elements = extension::parse(value);
    let mut parsed = Vec::new();
    for element in &mut elements {
        parsed.push(
            element.map_err(drop).map(|offer| Extension {
                name: offer.name().into(),
                params: offer.params().map(own).collect(),
            }),
        );
    }
    assert!(elements.next().is_none(), "it goes on behind its end");
    parsed
}

fn own(param: extension::Param<'_>) -> Param {
    Param { name: param.name().into(), value: param.value().map(String::from) }
}

/// The words and signs of a value.
#[derive(Debug, PartialEq, Eq)]
enum Word {
    Token(String),
    Quoted(String),
    Sign(u8),
    /// What no list has.
    Other,
}

/// The list, word by word.
fn expected(value: &[u8]) -> Vec<Result<Extension, ()>> {
    let words = words(value);
    let elements = words.split(|word| *word == Word::Sign(b','));
    let mut expected = Vec::new();
    for element in elements.filter(|element| !element.is_empty()) {
        let extension = read(element).ok_or(());
        let is_broken = extension.is_err();
        expected.push(extension);
        if is_broken {
            break;
        }
    }
    expected
}

fn read(element: &[Word]) -> Option<Extension> {
    let mut parts = element.split(|word| *word == Word::Sign(b';'));
    let [Word::Token(name)] = parts.next()? else { return None };
    let mut params = Vec::new();
    for part in parts {
        params.push(match part {
            [Word::Token(name)] => Param { name: name.clone(), value: None },
            [Word::Token(name), Word::Sign(b'='), Word::Token(value) | Word::Quoted(value)] => {
                Param { name: name.clone(), value: Some(value.clone()) }
            }
            _ => return None,
        });
    }
    Some(Extension { name: name.clone(), params })
}

fn words(value: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    let mut bytes = value.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        words.push(match byte {
            b' ' | b'\t' => continue,
            b',' | b';' | b'=' => Word::Sign(byte),
            b'"' => quoted(&mut bytes),
            byte if is_of_token(byte) => {
                let mut token = String::from(char::from(byte));
                while let Some(byte) = bytes.next_if(|byte| is_of_token(*byte)) {
                    token.push(char::from(byte));
                }
                Word::Token(token)
            }
            _ => Word::Other,
        });
    }
    words
}

/// What stands up to the next quote that is not escaped: a token, or nothing of use.
fn quoted(bytes: &mut impl Iterator<Item = u8>) -> Word {
    let mut text = String::new();
    loop {
        let Some(byte) = bytes.next() else { return Word::Other };
        let byte = match byte {
            b'"' if text.is_empty() => return Word::Other,
            b'"' => return Word::Quoted(text),
            b'\\' => match bytes.next() {
                Some(escaped) => escaped,
                None => return Word::Other,
            },
            byte => byte,
        };
        if !is_of_token(byte) {
            return Word::Other;
        }
        text.push(char::from(byte));
    }
}

/// RFC 9110 §5.6.2: what is visible, and no delimiter.
fn is_of_token(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte) && !b"\"(),/:;<=>?@[\\]{}".contains(&byte)
}
