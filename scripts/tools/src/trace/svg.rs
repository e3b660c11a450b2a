//! stub
use super::{file::Trace, model::Model};
/// stub
pub fn draw(_trace: &Trace, _model: &Model, _first: usize) -> String {
    String::new()
}
