//! The module `replay._engine`: the core and the decoders as Python sees them.
//! May not live here, nor anywhere in this crate: a rule of trading; these files convert and forward.

use pyo3::prelude::*;

mod cell;
mod desk;
mod engine;
mod errors;
mod glance;
mod ingest;
mod numbers;
mod sequencer;
mod series;
mod snapshot;
mod views;

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add(
        "BUILD_PROFILE",
        if cfg!(debug_assertions) { "debug" } else { "release" },
    )?;
    module.add("ENGINE_BUILD", snapshot::BUILD)?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<sequencer::Sequencer>()?;
    module.add_class::<desk::Desk>()?;
    module.add_class::<desk::Random>()?;
    module.add_class::<desk::Account>()?;
    module.add_class::<desk::Position>()?;
    module.add_class::<series::Series>()?;
    module.add_class::<series::Indicator>()?;
    module.add_class::<series::Adx>()?;
    module.add_class::<series::Bollinger>()?;
    module.add_class::<series::Donchian>()?;
    module.add_class::<series::Macd>()?;
    module.add_class::<series::Stochastic>()?;
    module.add_class::<views::Quote>()?;
    module.add_class::<views::Trade>()?;
    module.add_class::<views::Bar>()?;
    module.add_class::<views::OrderUpdate>()?;
    module.add_class::<views::Fill>()?;
    module.add_class::<views::Order>()?;
    module.add_function(wrap_pyfunction!(engine::reasons, module)?)?;
    ingest::register(module)
}
