//! From lengths on the wire, of 64 bits, to sizes in memory.

/// `len`, or `most` if that is less: the one place where a length that a peer announces becomes a size.
///
/// It is generic so that a machine with sizes of 64 bits can test what one of 32 bits does.
#[inline]
pub(crate) fn at_most<Size: TryFrom<u64> + Ord>(len: u64, most: Size) -> Size {
    match Size::try_from(len) {
        Ok(len) => len.min(most),
        // What is no size is above all of them.
        Err(_) => most,
    }
}

#[cfg(test)]
mod tests {
    use super::at_most;

    /// The lengths around every edge of the 16, 32 and 64 bits that a length may have.
    const LENGTHS: [u64; 15] = [
        0,
        125,
        126,
        127,
        0xffff,
        0x1_0000,
        (1 << 31) - 1,
        1 << 31,
        (1 << 32) - 1,
        1 << 32,
        1 << 53,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX - 3,
        u64::MAX,
    ];

    #[test]
    fn rule_a_a_length_becomes_a_size_of_any_width() {
        for len in LENGTHS {
            for most in LENGTHS {
                let least = if len < most { len } else { most };
                assert_eq!(at_most(len, most), least);
                if let Ok(most) = u32::try_from(most) {
                    assert_eq!(u64::from(at_most(len, most)), least, "sizes of 32 bits");
                }
                if let Ok(most) = u16::try_from(most) {
                    assert_eq!(u64::from(at_most(len, most)), least, "sizes of 16 bits");
                }
            }
        }
    }
}
