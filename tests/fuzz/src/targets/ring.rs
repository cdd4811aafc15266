//! Reads words of a ring: words that a producer may leave, and words that it never leaves.

use crate::input::Input;
use crate::record::{HEADER_WORDS, Record, decode, encode_skip, encode_thread, record_words, unpack};

/// Reads any words to their end, as the collector and the recovery of a ring file do.
pub fn words(bytes: &[u8]) {
    let words = build_words(&mut Input(bytes));
    let mut rest = &words[..];
    let mut values_read = Vec::new();
    while let Some((record, used)) = decode(rest) {
        assert!(used >= 1 && used <= rest.len(), "{used} of {} words", rest.len());
        assert_eq!(record_words(rest[0]), used, "both readers of a length agree");
        if let Record::Call(header, values, value_bytes) = record {
            assert_eq!(values.len() + HEADER_WORDS + usize::from(header.is_async), used);
            assert!(value_bytes <= values.len() * 8 && value_bytes + 8 > values.len() * 8);
            assert!(usize::from(header.args_bytes) + usize::from(header.fields_bytes) <= value_bytes);
            unpack(values, value_bytes, &mut values_read);
            assert_eq!(values_read.len(), value_bytes);
        }
        rest = &rest[used..];
    }
}

fn build_words(input: &mut Input<'_>) -> Vec<u64> {
    let mut words = Vec::new();
    while !input.is_empty() {
        match input.below(8) {
            0 => words.push(input.word()),
            1 => words.push(encode_thread(input.word() as u32)),
            2 => words.push(encode_skip(input.below(40))),
            _ => call(input, &mut words),
        }
    }
    words
}

/// Adds a call's record whose lengths may be wrong.
fn call(input: &mut Input<'_>, words: &mut Vec<u64>) {
    let (padding, value_words) = (input.below(8) as u64, input.below(6));
    let told = (HEADER_WORDS + value_words + input.below(5)).saturating_sub(input.below(3)) as u64;
    let bits = u64::from(input.byte()) & !3;
    words.push(told | bits << 16 | padding << 24 | (input.word() & 0xFFFF) << 32);
    words.extend((0..5).map(|_| input.word()));
    let lengths = u64::from(input.byte()) << 32 | u64::from(input.byte()) << 48;
    words.push(lengths | u64::from(1_f32.to_bits()));
    words.extend((0..=value_words).map(|_| input.word()));
}
