use std::collections::BTreeMap;

use crate::error::{Error, Result};

/// An end of a sequence, as Keras names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Before the first element.
    Pre,
    /// After the last.
    Post,
}

/// Sequences brought to one length, one after the other: `[sequences, length]`, row-major. Shorter ones
/// are filled with 0 at the side `padding`, longer ones lose elements at the side `truncating`. Keras's
/// function of this name takes [`Side::Pre`] for both unless told otherwise: the last words stay, and the
/// last element read is one of them.
///
/// ```
/// use retape::data::{Side, pad_sequences};
/// let sequences = [vec![1, 2], vec![3, 4, 5, 6]];
/// assert_eq!(pad_sequences(&sequences, 3, Side::Pre, Side::Pre), [0, 1, 2, 4, 5, 6]);
/// assert_eq!(pad_sequences(&sequences, 3, Side::Post, Side::Post), [1, 2, 0, 3, 4, 5]);
/// ```
pub fn pad_sequences(sequences: &[Vec<u32>], length: usize, padding: Side, truncating: Side) -> Vec<u32> {
    let mut rows = Vec::with_capacity(sequences.len().saturating_mul(length));
    for sequence in sequences {
        let excess = sequence.len().saturating_sub(length);
        let kept = match truncating {
            Side::Pre => &sequence[excess..],
            Side::Post => &sequence[..sequence.len() - excess],
        };
        let zeros = std::iter::repeat_n(&0, length - kept.len());
        match padding {
            Side::Pre => rows.extend(zeros.chain(kept)),
            Side::Post => rows.extend(kept.iter().chain(zeros)),
        }
    }
    rows
}

/// The characters of a text, each with a number from 0 in the order of their code points.
///
/// ```
/// use retape::data::Characters;
/// let characters = Characters::build("banana");
/// assert_eq!(characters.len(), 3);
/// assert_eq!(characters.encode("nab")?, [2, 0, 1]);
/// assert_eq!(characters.decode(&[1, 0, 2]), "ban");
/// # Ok::<(), retape::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters {
    characters: Vec<char>,
}

impl Characters {
    /// The distinct characters of `text`.
    pub fn build(text: &str) -> Characters {
        let mut characters: Vec<char> = text.chars().collect();
        characters.sort_unstable();
        characters.dedup();
        Characters { characters }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.characters.len()
    }

    /// Whether the text was empty.
    pub fn is_empty(&self) -> bool {
        self.characters.is_empty()
    }

    /// The character of a number.
    pub fn character(&self, number: u32) -> Option<char> {
        self.characters.get(number as usize).copied()
    }

    /// The number of a character.
    pub fn index(&self, character: char) -> Option<u32> {
        self.characters.binary_search(&character).ok().map(|index| index as u32)
    }

    /// The numbers of a text's characters.
    ///
    /// # Errors
    /// [`Error::Argument`] for a character that has none.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let expected = "only those of the text that the numbers were made from have one";
        let unknown = |at, c: char| Error::argument("character", format!("{c:?} at byte {at}"), expected);
        let number = |(at, c): (usize, char)| self.index(c).ok_or_else(|| unknown(at, c));
        text.char_indices().map(number).collect()
    }

    /// The text of the numbers; one that has no character is U+FFFD, the replacement character.
    pub fn decode(&self, numbers: &[u32]) -> String {
        let character = |&number: &u32| self.character(number).unwrap_or(char::REPLACEMENT_CHARACTER);
        numbers.iter().map(character).collect()
    }
}

/// A long sequence cut into batches for training in which a state goes on from each batch to the next
/// (truncated backpropagation through time): what [`windows`] returns.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    tokens: &'a [u32],
    rows: usize,
    length: usize,
    /// From the first token of a row to that of the next.
    stride: usize,
}

/// Cuts `tokens` into `rows` streams of equal length, and those into windows of `length`: row `r` of batch
/// `k + 1` goes on where row `r` of batch `k` ends. Each token's target is the one after it. Up to
/// `length` tokens at the end of each stream, and fewer than `rows` at the end of all, are left out.
///
/// ```
/// use retape::data::windows;
/// let tokens: Vec<u32> = (0..11).collect();
/// let windows = windows(&tokens, 2, 2)?; // streams 0 1 2 3 4 and 5 6 7 8 9
/// let (mut inputs, mut targets) = (Vec::new(), Vec::new());
/// assert_eq!(windows.len(), 2);
/// windows.gather(0, &mut inputs, &mut targets);
/// assert_eq!((&inputs[..], &targets[..]), (&[0, 1, 5, 6][..], &[1, 2, 6, 7][..]));
/// windows.gather(1, &mut inputs, &mut targets);
/// assert_eq!((&inputs[..], &targets[..]), (&[2, 3, 7, 8][..], &[3, 4, 8, 9][..]));
/// # Ok::<(), retape::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] if `rows` or `length` is 0, or if there are not even tokens for one batch and its
/// last targets: `rows * length + 1`.
pub fn windows(tokens: &[u32], rows: usize, length: usize) -> Result<Windows<'_>> {
    Error::expect(rows > 0, "rows", rows, "a batch has at least one")?;
    Error::expect(length > 0, "length", length, "a window has at least one token")?;
    let stride = tokens.len().saturating_sub(1) / rows;
    let expected = "a batch takes `rows * length` of them, and one more for its last target";
    Error::expect(stride >= length, "number of tokens", tokens.len(), expected)?;
    Ok(Windows { tokens, rows, length, stride })
}

impl Windows<'_> {
    /// The number of batches in one pass.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.stride / self.length
    }

    /// Writes inputs and targets of batch `index`, each `[rows, length]`, into buffers of the caller's,
    /// which are cleared first and keep their capacity.
    ///
    /// # Panics
    /// If `index` is not below [`len`](Windows::len).
    pub fn gather(&self, index: usize, inputs: &mut Vec<u32>, targets: &mut Vec<u32>) {
        assert!(index < self.len(), "batch {index} of {}", self.len());
        inputs.clear();
        targets.clear();
        for row in 0..self.rows {
            let start = row * self.stride + index * self.length;
            inputs.extend_from_slice(&self.tokens[start..][..self.length]);
            targets.extend_from_slice(&self.tokens[start + 1..][..self.length]);
        }
    }
}

/// The entropy in nats of the frequencies that the tokens have, `-sum of p ln p`: the cross-entropy of
/// the best guess that does not look at what came before. 0 for no tokens. Divided by `ln 2`, in bits.
pub fn unigram_entropy(tokens: &[u32]) -> f64 {
    // In the order of the tokens, so that the sum is the same each time.
    let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
    for &token in tokens {
        *counts.entry(token).or_default() += 1;
    }
    let n = tokens.len() as f64;
    let term = |&count: &u64| count as f64 / n * (n / count as f64).ln();
    counts.values().map(term).sum()
}
