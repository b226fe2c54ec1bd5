//! What the rules file and the options that go with it promise.

mod options;
