//! The classes that a model is trained on: all data means the same by their numbers.

use std::sync::Arc;

use super::Trainer;
use crate::data::Samples;
use crate::error::Result;

impl Trainer {
    /// The names of the classes that it was trained on, by label, where the data had them: those of the last
    /// `fit` or batch. What [`predict_classes`](Trainer::predict_classes) gives is called so.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Tells the names of the classes that its weights stand for, as after loading them; or, with none, that
    /// it is to be trained for others. Data with other names is refused:
    ///
    /// ```
    /// use retape::prelude::*;
    /// use retape::data::Dataset;
    /// # fn example(mut trainer: Trainer, test: Dataset) -> retape::Result<()> {
    /// trainer.set_class_names(&["cat", "dog"]);
    /// assert_eq!(trainer.class_names().map(<[String]>::len), Some(2));
    /// trainer.set_class_names::<&str>(&[]); // none: any will do
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_class_names<S: AsRef<str>>(&mut self, names: &[S]) {
        let names: Arc<[String]> = names.iter().map(|name| name.as_ref().to_owned()).collect();
        self.class_names = Some(names).filter(|names| !names.is_empty());
    }

    /// Takes over the names of the classes of data that is trained on.
    pub(super) fn take_classes(&mut self, samples: &Samples<'_>) {
        if let Some(names) = &samples.class_names {
            self.class_names = Some(names.clone());
        }
    }

    /// Refuses data of other classes than those that were trained on.
    pub(super) fn agree_in_classes(&self, data: &'static str, samples: &Samples<'_>) -> Result<()> {
        samples.expect_classes(data, self.class_names())
    }
}
