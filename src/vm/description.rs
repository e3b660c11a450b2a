//! VM descriptions.
