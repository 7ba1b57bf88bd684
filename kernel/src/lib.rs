//! The inner loops of fleetpgo, for Python: decode pprof messages, add profiles up, and number equal records.

mod distinct;
mod message;
mod profile;
mod rows;
mod tables;
mod wire;

use std::mem::{replace, take};

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList};

use message::How;
use profile::{Mapping, Profiles, Refused as Reason};
use rows::NONE;

/// Of what the functions take and return; `fleetpgo` asks for one.
const FORM: u32 = 2;

/// Bytes of the messages of one call up to which its memory is kept for the next one.
const KEPT: usize = 8 << 20;

create_exception!(
    fleetpgo_kernel,
    Refused,
    PyException,
    "A profile is refused: reason, table, number, other."
);

impl From<Reason> for PyErr {
    fn from(why: Reason) -> Self {
        Refused::new_err((why.reason, why.table, why.number, why.other))
    }
}

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
    let mut found = py.detach(|| {
        let mut profiles = Profiles::default();
        slices.iter().try_for_each(|message| profiles.add(message, &how)).map(|()| profiles)
    })?;

    let headers = headers_of(py, &mut found)?;
    let columns = columns_of(py, &found)?;
    for (name, column) in [
        (
            "functions",
            columns_from(py, &found.functions, |each| {
                let [name, system_name, file] = each.texts.map(i64::from);
                [name, system_name, file, i64::from(each.start_line)]
            })?,
        ),
        ("mappings", mappings_of(py, &found.mappings)?),
        (
            "locations",
            columns_from(py, &found.locations, |each| {
                [number_or_none(each.mapping), each.address, i64::from(each.is_folded)]
            })?,
        ),
        ("line_ends", columns_from(py, &found.locations, |each| [i64::from(each.line_end)])?),
        (
            "lines",
            columns_from(py, &found.lines, |each| {
                [number_or_none(each.function), i64::from(each.number), each.column]
            })?,
        ),
        ("depths", columns_from(py, &found.samples, |each| [i64::from(each.depth)])?),
        ("stacks", columns_from(py, &found.stacks, |&row| [i64::from(row)])?),
        (
            "labels",
            columns_from(py, &found.labels, |each| {
                let [key, text, unit] = each.texts.map(i64::from);
                [key, text, each.number, unit]
            })?,
        ),
        ("label_ends", columns_from(py, &found.samples, |each| [i64::from(each.label_end)])?),
        ("function_ends", places_of(py, &found.function_ends)?),
        ("mapping_ends", places_of(py, &found.mapping_ends)?),
    ] {
        columns.set_item(name, column)?;
    }
    Ok((headers, columns))
}

/// Every different record of the profiles that were added, numbered.
#[pyclass]
#[derive(Default)]
struct Tables {
    known: tables::Tables,
    /// The last profile: memory that is new each time costs as much time as what is done with it.
    last: Profiles,
}

#[pymethods]
impl Tables {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Add profiles. Returns the headers, and by name columns of strings and samples.
    fn add<'py>(
        &mut self,
        py: Python<'py>,
        messages: Vec<Bound<'py, PyBytes>>,
        labels: bool,
        records: usize,
        depth: usize,
    ) -> PyResult<(Bound<'py, PyList>, Bound<'py, PyDict>)> {
        let how = How { leaves: false, records, depth };
        let slices: Vec<&[u8]> = messages.iter().map(|message| message.as_bytes()).collect();
        let (known, last) = (&mut self.known, &mut self.last);
        let stacks = py.detach(|| {
            last.clear();
            slices.iter().try_for_each(|message| last.add(message, &how))?;
            Ok::<_, Reason>(known.add(last, labels))
        })?;
        let headers = headers_of(py, last)?;
        let columns = columns_of(py, last)?;
        columns.set_item("rows", columns_from(py, &stacks, |&number| [number_or_none(number)])?)?;
        if slices.iter().map(|message| message.len()).sum::<usize>() > KEPT {
            self.last = Profiles::default();
        }
        Ok((headers, columns))
    }

    /// All records, by name.
    fn all<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let known = &self.known;
        let columns = PyDict::new(py);
        columns.set_item("octets", PyBytes::new(py, known.strings.parts()))?;
        for (name, column) in [
            ("string_ends", places_of(py, known.strings.ends())?),
            (
                "functions",
                columns_from(py, known.functions.parts().as_chunks::<4>().0, |row| row.map(i64::from))?,
            ),
            ("mappings", mappings_of(py, &known.mappings)?),
            ("firsts", columns_from(py, &known.firsts, |&count| [count])?),
            ("locations", columns_from(py, &known.locations(), |&row| row)?),
            ("location_ends", places_of(py, &known.location_ends())?),
            ("stacks", columns_from(py, known.stacks.parts(), |&number| [i64::from(number)])?),
            ("stack_ends", places_of(py, known.stacks.ends())?),
            ("labels", columns_from(py, known.label_sets.parts().as_chunks::<4>().0, |&row| row)?),
            ("label_ends", columns_from(py, known.label_sets.ends(), |&end| [end as i64 / 4])?),
        ] {
            columns.set_item(name, column)?;
        }
        Ok(columns)
    }
}

/// Different strings of bytes, numbered in the order in which they first come.
#[pyclass]
#[derive(Default)]
struct Distinct {
    known: distinct::Distinct<u8>,
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
        columns_from(py, &self.known.numbers(items.iter().copied()), |&number| [i64::from(number)])
    }

    /// All items one behind the other.
    fn octets<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.known.parts())
    }

    /// The end of each item.
    fn ends<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyByteArray>> {
        places_of(py, self.known.ends())
    }
}

fn headers_of<'py>(py: Python<'py>, profiles: &mut Profiles) -> PyResult<Bound<'py, PyList>> {
    let headers = PyList::empty(py);
    for header in take(&mut profiles.headers) {
        headers.append((header.types, header.period_type, header.comments, header.numbers))?;
    }
    Ok(headers)
}

/// What both ways of reading profiles return of them.
fn columns_of<'py>(py: Python<'py>, profiles: &Profiles) -> PyResult<Bound<'py, PyDict>> {
    let columns = PyDict::new(py);
    columns.set_item("octets", PyBytes::new(py, &profiles.octets))?;
    for (name, column) in [
        ("string_ends", places_of(py, &profiles.string_ends)?),
        ("table_ends", places_of(py, &profiles.table_ends)?),
        ("values", columns_from(py, &profiles.values, |&value| [value])?),
        ("sample_ends", places_of(py, &profiles.sample_ends)?),
    ] {
        columns.set_item(name, column)?;
    }
    Ok(columns)
}

fn mappings_of<'py>(py: Python<'py>, mappings: &[Mapping]) -> PyResult<Bound<'py, PyByteArray>> {
    columns_from(py, mappings, |each| {
        let ([file, build], [a, b, c, d]) = (each.texts.map(i64::from), each.flags.map(i64::from));
        [each.start, each.limit, each.offset, file, build, a, b, c, d]
    })
}

fn places_of<'py>(py: Python<'py>, places: &[usize]) -> PyResult<Bound<'py, PyByteArray>> {
    columns_from(py, places, |&place| [place as i64])
}

/// The columns of a table, one behind the other.
fn columns_from<'py, T, const N: usize>(
    py: Python<'py>,
    rows: &[T],
    numbers: impl Fn(&T) -> [i64; N],
) -> PyResult<Bound<'py, PyByteArray>> {
    PyByteArray::new_with(py, 8 * N * rows.len(), |octets| {
        if rows.is_empty() {
            return Ok(());
        }
        for (place, column) in octets.chunks_exact_mut(8 * rows.len()).enumerate() {
            for (slot, row) in column.chunks_exact_mut(8).zip(rows) {
                slot.copy_from_slice(&numbers(row)[place].to_ne_bytes());
            }
        }
        Ok(())
    })
}

fn number_or_none(number: u32) -> i64 {
    if number == NONE { -1 } else { i64::from(number) }
}

fn integers(numbers: &[u8]) -> impl Iterator<Item = usize> {
    numbers.chunks_exact(8).map(|octets| usize::from_ne_bytes(octets.try_into().expect("eight octets")))
}

#[pymodule]
fn fleetpgo_kernel(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("FORM", FORM)?;
    module.add("Refused", module.py().get_type::<Refused>())?;
    module.add_class::<Distinct>()?;
    module.add_class::<Tables>()?;
    module.add_function(wrap_pyfunction!(decode, module)?)
}
