//! One line of a scenario, word by word, with errors that say what to write instead.

use std::collections::BTreeSet;

use anfs_primitives::SeatIndex;

use super::ScenarioError;

/// Longest time that a scenario can speak of.
pub(super) const TIME_MS_MAX: u64 = 3_600_000;

/// The words of one line.
#[derive(Debug)]
pub(super) struct Words<'a> {
    /// From 1.
    line: usize,
    words: Vec<&'a str>,
    next: usize,
    /// n_v.
    verifiers: u16,
}

impl<'a> Words<'a> {
    /// Takes a line apart. `|`, `->` and `:` are words of their own, wherever they stand.
    pub(super) fn new(line: usize, text: &'a str, verifiers: u16) -> Self {
        let mut words = Vec::new();
        for word in text.split_whitespace() {
            let mut rest = word;
            while let Some(at) = rest.find(['|', ':', ',']) {
                let (before, from) = rest.split_at(at);
                let (mark, after) = from.split_at(1);
                words.extend([before, mark].into_iter().filter(|part| !part.is_empty() && *part != ","));
                rest = after;
            }
            words.extend(Some(rest).filter(|rest| !rest.is_empty()));
        }
        Self { line, words, next: 0, verifiers }
    }

    /// From 1.
    pub(super) fn line(&self) -> usize {
        self.line
    }

    /// The line, in its own words.
    pub(super) fn text(&self) -> String {
        self.words.join(" ")
    }

    pub(super) fn fail<T>(
        &self,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Result<T, ScenarioError> {
        Err(ScenarioError { line: self.line, problem: problem.into(), remedy: remedy.into() })
    }

    pub(super) fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).copied()
    }

    /// The next word, or an error that says what is missing.
    pub(super) fn word(&mut self, wanted: &str) -> Result<&'a str, ScenarioError> {
        match self.peek() {
            Some(word) => {
                self.next += 1;
                Ok(word)
            }
            None => self.fail("the line ends too early", format!("add {wanted}")),
        }
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let here = self.peek() == Some(word);
        self.next += usize::from(here);
        here
    }

    pub(super) fn must(&mut self, word: &str) -> Result<(), ScenarioError> {
        if self.take(word) {
            return Ok(());
        }
        match self.peek() {
            Some(found) => self.fail(format!("`{found}` is not expected here"), format!("write `{word}`")),
            None => self.fail("the line ends too early", format!("add `{word}`")),
        }
    }

    pub(super) fn end(&self) -> Result<(), ScenarioError> {
        match self.peek() {
            Some(word) => self.fail(format!("`{word}` is one word too many"), "end the line before it"),
            None => Ok(()),
        }
    }

    pub(super) fn number(&mut self, what: &str) -> Result<u64, ScenarioError> {
        let word = self.word(what)?;
        match word.parse() {
            Ok(number) => Ok(number),
            Err(_) => self.fail(format!("`{word}` is not {what}"), "write it in digits, such as 5"),
        }
    }

    pub(super) fn number_in(&mut self, what: &str, least: u64, most: u64) -> Result<u64, ScenarioError> {
        let number = self.number(what)?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        self.fail(format!("{what} cannot be {number}"), format!("write a number from {least} to {most}"))
    }

    /// A time or a length of time, in milliseconds.
    pub(super) fn time_ms(&mut self) -> Result<u64, ScenarioError> {
        let word = self.word("a time, such as 2s or 300ms")?;
        match parse_time_ms(word) {
            Some(time) if time <= TIME_MS_MAX => Ok(time),
            Some(_) => self.fail(format!("{word} is too long"), "no scenario lasts more than an hour"),
            None => self.fail(format!("`{word}` is no time"), "write it as 2s, 1.5s, 300ms or 1m"),
        }
    }

    /// `for TIME`, if it is there.
    pub(super) fn lasting_ms(&mut self) -> Result<Option<u64>, ScenarioError> {
        if self.take("for") { self.time_ms().map(Some) } else { Ok(None) }
    }

    /// Parts of a thousand, written in percent with one decimal at most.
    pub(super) fn permille(&mut self) -> Result<u16, ScenarioError> {
        let word = self.word("a share, such as 5%")?;
        let share = word.strip_suffix('%').and_then(|number| parse_decimal(number, 1));
        match share.and_then(|share| u16::try_from(share).ok()).filter(|share| *share <= 1000) {
            Some(share) => Ok(share),
            None => self.fail(format!("`{word}` is no share"), "write it as 5% or 0.5%, at most 100%"),
        }
    }

    /// One seat or several: `SG`, `SV3`, `SV1..SV4`, `all`, `verifiers`, `rest` (all that `others` lacks).
    pub(super) fn seats(
        &mut self,
        others: &BTreeSet<SeatIndex>,
    ) -> Result<BTreeSet<SeatIndex>, ScenarioError> {
        let mut seats = BTreeSet::new();
        while let Some(word) = self.peek() {
            let all = (0..=self.verifiers).map(SeatIndex);
            match word {
                "all" => seats.extend(all),
                "verifiers" => seats.extend(all.skip(1)),
                "rest" => seats.extend(all.filter(|seat| !others.contains(seat))),
                _ if word.starts_with('S') => seats.extend(self.range(word)?),
                _ => break,
            }
            self.next += 1;
        }
        if seats.is_empty() {
            let found =
                self.peek().map_or("the line ends too early".into(), |word| format!("`{word}` is no seat"));
            return self.fail(found, self.seats_there_are());
        }
        Ok(seats)
    }

    /// Exactly one seat.
    pub(super) fn seat(&mut self) -> Result<SeatIndex, ScenarioError> {
        let word = self.word("a seat, such as SG or SV3")?;
        match self.range(word)?.as_slice() {
            [seat] => Ok(*seat),
            _ => self.fail(format!("`{word}` is more than one seat"), "name one"),
        }
    }

    fn range(&self, word: &str) -> Result<Vec<SeatIndex>, ScenarioError> {
        let (first, last) = word.split_once("..").unwrap_or((word, word));
        match (self.parse_seat(first), self.parse_seat(last)) {
            (Some(first), Some(last)) if first <= last => Ok((first.0..=last.0).map(SeatIndex).collect()),
            _ => self.fail(format!("`{word}` is no seat of this shard"), self.seats_there_are()),
        }
    }

    fn parse_seat(&self, word: &str) -> Option<SeatIndex> {
        if word == "SG" {
            return Some(SeatIndex::GENERATOR);
        }
        let number: u16 = word.strip_prefix("SV")?.parse().ok()?;
        (1..=self.verifiers).contains(&number).then_some(SeatIndex(number))
    }

    fn seats_there_are(&self) -> String {
        let n = self.verifiers;
        format!("name seats as SG, SV1 to SV{n}, SV1..SV{n}, all, verifiers or rest")
    }
}

/// A time such as `2s`, `1.5s`, `300ms` or `1m`, in milliseconds; `None` when it is none.
#[must_use]
pub fn parse_time_ms(word: &str) -> Option<u64> {
    if let Some(number) = word.strip_suffix("ms") {
        return parse_decimal(number, 0);
    }
    if let Some(number) = word.strip_suffix('s') {
        return parse_decimal(number, 3);
    }
    parse_decimal(word.strip_suffix('m')?, 3)?.checked_mul(60)
}

/// A number with at most so many decimals, times ten to the power of them.
fn parse_decimal(word: &str, decimals: usize) -> Option<u64> {
    let (whole, part) = word.split_once('.').unwrap_or((word, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let sound =
        !whole.is_empty() && digits(whole) && digits(part) && whole.len() <= 9 && part.len() <= decimals;
    if !sound || (part.is_empty() && word.contains('.')) {
        return None;
    }
    format!("{whole}{part:0<decimals$}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_units_and_nothing_else() {
        for (word, ms) in
            [("2s", 2_000), ("1.5s", 1_500), ("300ms", 300), ("1m", 60_000), ("0.001s", 1), ("0s", 0)]
        {
            assert_eq!(parse_time_ms(word), Some(ms), "{word}");
        }
        for word in ["2", "s", "1.5ms", "-1s", "1.0001s", "1.s", ".5s", "2 s", "9999999999s", "1e3s", ""] {
            assert_eq!(parse_time_ms(word), None, "{word}");
        }
    }

    #[test]
    fn seats_are_read_alone_in_ranges_and_as_the_rest() {
        let seats = |text: &str, others: &[u16]| {
            let others = others.iter().copied().map(SeatIndex).collect();
            Words::new(1, text, 4)
                .seats(&others)
                .map(|seats| seats.iter().map(|seat| seat.0).collect::<Vec<_>>())
        };
        assert_eq!(seats("SV3 SG", &[]).unwrap(), [0, 3]);
        assert_eq!(seats("SV1, SV2,SV4 for", &[]).unwrap(), [1, 2, 4]);
        assert_eq!(seats("SV2..SV4", &[]).unwrap(), [2, 3, 4]);
        assert_eq!(seats("rest", &[0, 2]).unwrap(), [1, 3, 4]);
        assert_eq!(seats("verifiers", &[]).unwrap(), [1, 2, 3, 4]);
        for wrong in ["", "SV5", "SV0", "SV4..SV2", "SV", "nobody", "SVx"] {
            let error = seats(wrong, &[]).unwrap_err();
            assert!(error.remedy.contains("SV1 to SV4"), "{error}");
        }
    }

    #[test]
    fn marks_are_words_wherever_they_stand() {
        let mut words = Words::new(1, "SV1|rest lies:x", 4);
        let all: Vec<_> = std::iter::from_fn(|| words.word("").ok()).collect();
        assert_eq!(all, ["SV1", "|", "rest", "lies", ":", "x"]);
    }
}
