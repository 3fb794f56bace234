use std::cmp::Reverse;
use std::collections::HashMap;

use crate::error::{Error, Result};

/// The words of a text, as Keras's `TextVectorization` takes them after `<br />` is dropped: in lower
/// case, without ASCII punctuation, split at white space. `"Don't<br />stop -- A-1!"` has the words
/// `dont`, `stop` and `a1`.
///
/// Unlike there, upper case and white space beyond ASCII count as such too.
pub fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase().replace("<br />", " ");
    let bare: String = lower.chars().filter(|c| !c.is_ascii_punctuation()).collect();
    bare.split_whitespace().map(str::to_owned).collect()
}

/// The most frequent words of some texts, each with a number: 0 is padding, 1 stands for every word that
/// has no number of its own, and words count from 2. Texts are split as by [`words`].
///
/// ```
/// use retape::data::Vocabulary;
/// let vocabulary = Vocabulary::build(["the cat", "The mat, the cat."], 4)?;
/// assert_eq!((vocabulary.word(2), vocabulary.word(3)), (Some("the"), Some("cat")));
/// assert_eq!(vocabulary.encode("The cat on the mat"), [2, 3, 1, 2, 1]);
/// assert_eq!(vocabulary.decode(&[0, 0, 2, 3, 1]), "the cat [UNK]");
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Vocabulary {
    /// By number, padding and unknown included.
    words: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Vocabulary {
    /// The number of padding.
    pub const PADDING: u32 = 0;
    /// The number of every word that the vocabulary lacks.
    pub const UNKNOWN: u32 = 1;

    /// Counts the words of all texts and keeps the most frequent, equally frequent ones in the order of
    /// their code points; `max_words` counts padding and unknown too, as Keras's `max_tokens` does.
    ///
    /// # Errors
    /// [`Error::Argument`] if `max_words` leaves no room for a word.
    pub fn build<T: AsRef<str>>(texts: impl IntoIterator<Item = T>, max_words: usize) -> Result<Vocabulary> {
        let expected = "it counts padding and unknown, and must leave room for a word";
        Error::expect(max_words >= 3, "max_words", max_words, expected)?;
        let mut counts: HashMap<String, u64> = HashMap::new();
        for word in texts.into_iter().flat_map(|text| words(text.as_ref())) {
            *counts.entry(word).or_default() += 1;
        }
        let mut ranked: Vec<(String, u64)> = counts.into_iter().collect();
        ranked.sort_unstable_by(|(a, m), (b, n)| (Reverse(m), a).cmp(&(Reverse(n), b)));
        // Numbers are u32.
        ranked.truncate((max_words - 2).min(u32::MAX as usize - 2));
        let special = [String::new(), "[UNK]".to_owned()];
        let words: Vec<String> =
            special.into_iter().chain(ranked.into_iter().map(|(word, _)| word)).collect();
        let numbers = words.iter().zip(0..).skip(2).map(|(word, number)| (word.clone(), number)).collect();
        Ok(Vocabulary { words, numbers })
    }

    /// How many numbers there are, padding and unknown included: the rows of an embedding.
    #[expect(clippy::len_without_is_empty, reason = "padding and unknown are always there")]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// The word of a number: `""` for padding, `"[UNK]"` for unknown, `None` past the last.
    pub fn word(&self, number: u32) -> Option<&str> {
        self.words.get(number as usize).map(String::as_str)
    }

    /// The number of a word as [`words`] gives it, if it has one.
    pub fn index(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// The numbers of a text's words.
    pub fn encode(&self, text: &str) -> Vec<u32> {
        words(text).iter().map(|word| self.index(word).unwrap_or(Vocabulary::UNKNOWN)).collect()
    }

    /// The words of the numbers with spaces between; padding is left out, and what has no word is
    /// `[UNK]`.
    pub fn decode(&self, numbers: &[u32]) -> String {
        let shown = numbers.iter().filter(|&&number| number != Vocabulary::PADDING);
        let words: Vec<&str> = shown.map(|&number| self.word(number).unwrap_or("[UNK]")).collect();
        words.join(" ")
    }
}
