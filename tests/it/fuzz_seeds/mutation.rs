//! Seeds with a few changes each: what a fuzzer does first, without its feedback.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// An endless row of inputs that follows from seeds and words alone.
pub struct Mutations {
    seeds: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
    random: StdRng,
}

impl Mutations {
    pub fn new(seeds: Vec<Vec<u8>>, words: Vec<Vec<u8>>) -> Self {
        Self { seeds, words, random: StdRng::seed_from_u64(1) }
    }

    fn one_of(&mut self, count: usize) -> usize {
        self.random.random_range(0..count)
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let start = self.one_of(input.len() + 1);
        let end = input.len().min(start + 1 + self.one_of(16));
        match self.one_of(6) {
            0 => {
                input.drain(start..end);
            }
            1 => {
                let again = input[start..end].to_vec();
                input.splice(start..start, again);
            }
            2 => {
                let word = self.one_of(self.words.len());
                input.splice(start..start, self.words[word].iter().copied());
            }
            3 => {
                let word = self.one_of(self.words.len());
                input.splice(start..end, self.words[word].iter().copied());
            }
            4 => {
                let other = self.one_of(self.seeds.len());
                let from = self.one_of(self.seeds[other].len() + 1);
                input.truncate(start);
                input.extend_from_slice(&self.seeds[other][from..]);
            }
            _ => {
                let byte = self.random.random();
                input.splice(start..end.min(start + 1), [byte]);
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let seed = self.one_of(self.seeds.len());
        let mut input = self.seeds[seed].clone();
        for _ in 0..=self.one_of(4) {
            self.change(&mut input);
        }
        Some(input)
    }
}

/// The words of a dictionary in libFuzzer's notation: one a line, in quotes, with `\xNN`, `\\` and `\"`.
pub fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let lines = dictionary.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| word(line).unwrap_or_else(|| panic!("{line} is no word"))).collect()
}

fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut word = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        let (meant, tail) = match rest {
            [b'\\', b'x', high, low, tail @ ..] => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?, tail)
            }
            [b'\\', meant @ (b'\\' | b'"'), tail @ ..] => (*meant, tail),
            _ => (byte, tail),
        };
        word.push(meant);
        rest = tail;
    }
    Some(word)
}

#[test]
fn a_dictionary_is_read_as_libfuzzer_reads_it() {
    let dictionary = "# a comment\n\"a b\"\n\"\\x0d\\x0A\"\n\n\"\\\\\\\"\"\n";
    assert_eq!(words(dictionary), [&b"a b"[..], b"\r\n", b"\\\""]);
}
