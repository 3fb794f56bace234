use std::sync::{Condvar, Mutex, PoisonError};

/// The elements of a parameter, state or input, which several sessions may have in common. Who works with them
/// takes them out, and others wait until they are back.
#[derive(Debug)]
pub(super) struct Cell {
    content: Mutex<Option<Vec<f32>>>,
    returned: Condvar,
}

impl Cell {
    pub fn new(len: usize) -> Self {
        Cell { content: Mutex::new(Some(vec![0.0; len])), returned: Condvar::new() }
    }

    pub fn take(&self) -> Vec<f32> {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match content.take() {
                Some(taken) => return taken,
                None => content = self.returned.wait(content).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    pub fn put(&self, content: Vec<f32>) {
        *self.content.lock().unwrap_or_else(PoisonError::into_inner) = Some(content);
        self.returned.notify_one();
    }

    /// What `f` makes of the elements.
    pub fn with<R>(&self, f: impl FnOnce(&mut [f32]) -> R) -> R {
        let mut content = self.take();
        let made = f(&mut content);
        self.put(content);
        made
    }
}
