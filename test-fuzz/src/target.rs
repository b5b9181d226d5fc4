//! A reader under attack, and what became of it.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::str::FromStr;

use crate::mutation::{Form, JSON_WORDS, Mutator};
use crate::{clock, corpus};

/// What a reader made of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// It found something.
    Taken,
    /// It found nothing that it knows.
    Refused,
}

impl Reading {
    /// By whether it found something.
    pub const fn of(found: bool) -> Self {
        if found { Self::Taken } else { Self::Refused }
    }
}

/// A reader's name and what it is attacked with.
pub struct Target<'a> {
    name: &'static str,
    corpus: Vec<Vec<u8>>,
    words: &'a [&'a [u8]],
    form: Form,
}

/// How many runs were done, and how many inputs the reader took.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    runs: u64,
    taken: u64,
    bytes: u64,
}

/// The run that the reader did not survive.
#[derive(Debug, PartialEq, Eq)]
struct Broken {
    run: u64,
    input: Vec<u8>,
    said: String,
}

impl<'a> Target<'a> {
    /// A target with its saved corpus: lines of `hex` digits or `text`, and comments after `#`.
    ///
    /// # Panics
    /// Where a line of the corpus is none of these.
    pub fn new(name: &'static str, corpus: &str) -> Self {
        let corpus = corpus::read(corpus).unwrap_or_else(|line| panic!("line {line} of the corpus of {name} is neither `hex` nor `text`"));
        Self {
            name,
            corpus,
            words: &[],
            form: Form::Bytes,
        }
    }

    /// More inputs, saved elsewhere.
    #[must_use]
    pub fn with(mut self, inputs: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.corpus.extend(inputs.into_iter().map(Into::into));
        self
    }

    /// Words that mean something to the reader.
    #[must_use]
    pub const fn with_words(mut self, words: &'a [&'a [u8]]) -> Self {
        self.words = words;
        self
    }

    /// Inputs are texts of JSON: most changes leave them such, so that what lies behind the parser is attacked too.
    #[must_use]
    pub const fn of_json(mut self) -> Self {
        self.words = &JSON_WORDS;
        self.form = Form::Json;
        self
    }

    /// Gives the reader every saved input, and as many changed ones as `PROBEOPS_FUZZ_RUNS` says, [`RUNS`] where it says nothing.
    /// The seed is `PROBEOPS_FUZZ_SEED`, 1 where there is none. In the folder `PROBEOPS_FUZZ_FOLDER` a line about the runs is written down.
    ///
    /// # Panics
    /// Where the reader panics, with everything it takes to see it again; where it takes none of the saved inputs; where no line could be written.
    pub fn survives(&self, read: impl Fn(&[u8]) -> Reading) {
        let (runs, seed) = (variable("PROBEOPS_FUZZ_RUNS").unwrap_or(RUNS), variable("PROBEOPS_FUZZ_SEED").unwrap_or(1));
        let folder: Option<PathBuf> = std::env::var_os("PROBEOPS_FUZZ_FOLDER").map(PathBuf::from);
        let begun = clock::now();
        match self.attack(seed, runs, &read) {
            Ok(tally) => {
                assert!(tally.taken > 0, "{} takes nothing of its own corpus: the attack stops at its door", self.name);
                if let Some(folder) = folder {
                    let Tally { runs, taken, bytes } = tally;
                    let line = format!("{} {} {runs} {taken} {bytes} {}\n", self.name, self.corpus.len(), begun.elapsed().as_micros());
                    let written = std::fs::write(folder.join(format!("{}.done", self.name)), line);
                    written.unwrap_or_else(|error| panic!("{} cannot write down its runs: {error}", self.name));
                }
            }
            Err(broken) => {
                let file = folder
                    .unwrap_or_else(std::env::temp_dir)
                    .join(format!("{}-{seed}-{}.txt", self.name, broken.run));
                let mut told = String::new();
                let hexadecimal = corpus::hexadecimal(&broken.input);
                let _cannot_fail = write!(
                    told,
                    "# {}, seed {seed}, run {}: {}\nhex {hexadecimal}\n",
                    self.name,
                    broken.run,
                    one_line(&broken.said)
                );
                let saved = std::fs::write(&file, &told).map_or_else(|error| format!("not saved: {error}"), |()| format!("saved as {}", file.display()));
                panic!(
                    "{told}{saved}; again: cargo xtask fuzz --target {} --seed {seed} --runs {}",
                    self.name,
                    broken.run + 1
                );
            }
        }
    }

    fn attack(&self, seed: u64, runs: u64, read: &impl Fn(&[u8]) -> Reading) -> Result<Tally, Broken> {
        let mut tally = Tally::default();
        let saved = self.corpus.iter().cloned().map(|input| (0, input));
        // Each run has draws of its own, so that it can be repeated alone.
        let changed = (0..runs).map(|run| {
            (
                run,
                Mutator::new(seed.wrapping_mul(SPREAD).wrapping_add(run), &self.corpus, self.words, self.form).input(),
            )
        });
        for (run, input) in saved.chain(changed) {
            match catch_unwind(AssertUnwindSafe(|| read(&input))) {
                Ok(reading) => {
                    tally.runs += 1;
                    tally.taken += u64::from(reading == Reading::Taken);
                    tally.bytes = tally.bytes.saturating_add(u64::try_from(input.len()).unwrap_or(u64::MAX));
                }
                Err(panic) => {
                    let said = panic.downcast_ref::<String>().cloned();
                    let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap_or_default();
                    return Err(Broken { run, input, said });
                }
            }
        }
        Ok(tally)
    }
}

fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    let value = text.parse().ok();
    assert!(value.is_some(), "{name} is no number: {text}");
    value
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

/// Runs of each target where nobody asks for more.
pub const RUNS: u64 = 10_000;
/// Keeps the runs of one seed apart from those of the next: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    /// A length, then as many bytes.
    fn piece(bytes: &[u8]) -> Reading {
        let Some((length, rest)) = bytes.split_first() else { return Reading::Refused };
        Reading::of(rest.get(..usize::from(*length)).is_some())
    }

    /// The same, by somebody who believes the length.
    fn believing(bytes: &[u8]) -> Reading {
        let Some((length, rest)) = bytes.split_first() else { return Reading::Refused };
        let _ = &rest[..usize::from(*length)];
        Reading::Taken
    }

    fn target() -> Target<'static> {
        Target::new("piece", "hex 03010203\nhex 00\n")
    }

    #[test]
    fn a_reader_that_looks_survives() {
        let tally = target().attack(1, 10_000, &piece).unwrap();
        assert_eq!(tally.runs, 10_002);
        assert!((1_000..9_000).contains(&tally.taken), "both of its ways are walked: {tally:?}");
    }

    #[test]
    fn a_reader_that_believes_a_length_is_found_out_and_the_input_shows_it_again() {
        let broken = target().attack(1, 10_000, &believing).unwrap_err();
        assert_eq!(target().attack(1, 10_000, &believing).unwrap_err(), broken, "the same seed finds the same");
        assert!(broken.said.contains("out of range"), "{}", broken.said);
        assert!(catch_unwind(|| believing(&broken.input)).is_err());
        assert_eq!(piece(&broken.input), Reading::Refused);
    }

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        let said = catch_unwind(|| target().survives(believing)).unwrap_err();
        let said = said.downcast_ref::<String>().unwrap();
        assert!(
            said.contains("# piece, seed ") && said.contains("\nhex ") && said.contains("cargo xtask fuzz --target piece --seed "),
            "{said}"
        );
        let file = said.lines().find_map(|line| line.strip_prefix("saved as ")?.split(';').next()).unwrap();
        let saved = std::fs::read_to_string(file).unwrap();
        assert!(
            catch_unwind(|| believing(&corpus::read(&saved).unwrap()[0])).is_err(),
            "what was saved is a corpus"
        );
    }

    #[test]
    fn a_target_that_takes_nothing_is_no_target() {
        assert!(catch_unwind(|| target().survives(|_| Reading::Refused)).is_err());
    }

    #[test]
    fn other_seeds_try_other_inputs() {
        let tallies: Vec<Tally> = (0..3).map(|seed| target().attack(seed, 1_000, &piece).unwrap()).collect();
        assert!(tallies[0] != tallies[1] && tallies[1] != tallies[2]);
    }
}
