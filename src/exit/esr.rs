//! Exception syndromes, decoded.
