//! The two inner loops of fleetpgo, for Python: decode pprof messages, and number equal records.

mod distinct;
mod message;
mod profile;
mod rows;
mod wire;

use std::mem::replace;

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList};

use message::How;
use profile::Profiles;

/// Of what the functions take and return; `fleetpgo` asks for one.
const FORM: u32 = 1;

create_exception!(
    fleetpgo_kernel,
    Refused,
    PyException,
    "A profile is refused: reason, table, number, other."
);

/// Decode profiles to columns: numbers of 64 bits with sign, in the machine's order.
///
/// Returns the headers, and the columns by name.
#[pyfunction]
fn decode<'py>(
    py: Python<'py>,
    messages: Vec<Bound<'py, PyBytes>>,
    leaves: bool,
    records: usize,
    depth: usize,
) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
    let how = How { leaves, records, depth };
    let slices: Vec<&[u8]> = messages.iter().map(|message| message.as_bytes()).collect();
    let found = py.detach(|| {
        let mut profiles = Profiles::default();
        slices.iter().try_for_each(|message| profiles.add(message, &how)).map(|()| profiles)
    });
    let found = found.map_err(|refused| {
        Refused::new_err((refused.reason, refused.table, refused.number, refused.other))
    })?;

    let headers = PyList::empty(py);
    for header in found.headers {
        headers.append((header.types, header.period_type, header.comments, header.numbers))?;
    }
    let columns = PyDict::new(py);
    columns.set_item("octets", PyBytes::new(py, &found.octets))?;
    for (name, table) in [
        ("string_ends", &[found.string_ends][..]),
        ("functions", &found.functions),
        ("mappings", &found.mappings),
        ("locations", &found.locations),
        ("line_ends", &[found.line_ends]),
        ("lines", &found.lines),
        ("values", &[found.values]),
        ("depths", &[found.depths]),
        ("stacks", &[found.stacks]),
        ("labels", &found.labels),
        ("label_ends", &[found.label_ends]),
        ("sample_ends", &[found.sample_ends]),
        ("function_ends", &[found.function_ends]),
        ("mapping_ends", &[found.mapping_ends]),
        ("table_ends", &[found.table_ends]),
    ] {
        columns.set_item(name, numbers_of(py, table)?)?;
    }
    Ok((headers, columns))
}

/// The numbers of some columns, one behind the other.
fn numbers_of<'py>(py: Python<'py>, columns: &[Vec<i64>]) -> PyResult<Bound<'py, PyByteArray>> {
    let size = columns.iter().map(|column| 8 * column.len()).sum();
    PyByteArray::new_with(py, size, |octets| {
        let mut rest = octets;
        for column in columns {
            let slots;
            (slots, rest) = rest.split_at_mut(8 * column.len());
            for (slot, number) in slots.chunks_exact_mut(8).zip(column) {
                slot.copy_from_slice(&number.to_ne_bytes());
            }
        }
        Ok(())
    })
}

/// Different strings of bytes, numbered in the order in which they first come.
#[pyclass]
#[derive(Default)]
struct Distinct {
    known: distinct::Distinct,
}

#[pymethods]
impl Distinct {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn __len__(&self) -> usize {
        self.known.len()
    }

    /// Return the number of each item, or of those in some rows; item `i` is `octets[ends[i - 1]:ends[i]]`.
    #[pyo3(signature = (octets, ends, rows = None))]
    fn of<'py>(
        &mut self,
        py: Python<'py>,
        octets: &[u8],
        ends: &[u8],
        rows: Option<&[u8]>,
    ) -> PyResult<Bound<'py, PyByteArray>> {
        let mut start = 0;
        let items: Option<Vec<&[u8]>> = match rows {
            None => integers(ends).map(|end| octets.get(replace(&mut start, end)..end)).collect(),
            Some(rows) => {
                let ends: Vec<usize> = [0].into_iter().chain(integers(ends)).collect();
                integers(rows)
                    .map(|row| octets.get(*ends.get(row)?..*ends.get(row.checked_add(1)?)?))
                    .collect()
            }
        };
        // No panic, which would be no Python `Exception`.
        let items = items.ok_or_else(|| PyValueError::new_err("an item is outside of the octets"))?;
        numbers_of(py, &[self.known.numbers(&items)])
    }

    /// All items one behind the other.
    fn octets<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.known.octets())
    }

    /// The end of each item.
    fn ends<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        let ends: Vec<i64> = self.known.ends().iter().map(|&end| end as i64).collect();
        numbers_of(py, &[ends])
    }
}

fn integers(numbers: &[u8]) -> impl Iterator<Item = usize> {
    numbers.chunks_exact(8).map(|octets| usize::from_ne_bytes(octets.try_into().expect("eight octets")))
}

#[pymodule]
fn fleetpgo_kernel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("FORM", FORM)?;
    module.add("Refused", module.py().get_type::<Refused>())?;
    module.add_class::<Distinct>()?;
    module.add_function(wrap_pyfunction!(decode, module)?)
}
