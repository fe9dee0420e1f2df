//! What is sent: the texts of `benches/deflate.rs`.

use std::fmt::Write;

/// Texts of `size` bytes, all different, `total` bytes of them.
pub fn texts(size: usize, total: usize) -> Vec<String> {
    const WORDS: [&str; 16] = [
        "river", "stone", "update", "market", "violet", "answer", "garden", "signal", "window", "copper",
        "morning", "letter", "engine", "harbour", "paper", "winter",
    ];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut number = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    let mut text = |sequence: usize| {
        let mut text = format!(r#"{{"seq":{sequence},"rows":["#);
        while text.len() < size {
            let (id, units, cents) = (number(100_000), number(1_000), number(100));
            let [user, event, first, second] = [(); 4].map(|()| WORDS[number(WORDS.len())]);
            write!(text, r#"{{"id":{id},"user":"{user}","event":"{event}","amount":{units}.{cents:02},"#)
                .unwrap();
            write!(text, r#""note":"{first} {second}"}},"#).unwrap();
        }
        text.truncate(size);
        text
    };
    (0..total / size).map(&mut text).collect()
}
