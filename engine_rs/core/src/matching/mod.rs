//! Matching: the fill rules of SEMANTICS section 4, one file per kind of data.
//! May not live here: rules that hold for every kind of data (exchange) or the order of time (engine).

mod bar;
mod quote;
mod trade;
