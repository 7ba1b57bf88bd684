//! Tables of a sum of profiles: every different record so far, numbered.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::mem::replace;

use crate::distinct::Distinct;
use crate::profile::{Label, Mapping, Profiles};
use crate::rows::{NONE, row};

/// Sizes of mappings are compared in whole pages, as google/pprof does.
const PAGE: u64 = 0x1000;

#[derive(Default)]
pub struct Tables {
    pub strings: Distinct<u8>,
    /// Name, system name and file as numbers of strings; start line.
    pub functions: Distinct<i32>,
    /// Mapping or -1, 1 if folded, halves of the address in it; of each line function or -1, line, halves of the column.
    locations: Distinct<i32>,
    /// Locations; then the set of labels, where labels are kept.
    pub stacks: Distinct<u32>,
    /// Of each label key, text and unit as numbers of strings; number. In the order of these numbers.
    pub label_sets: Distinct<i64>,
    /// Of those that are one, the least. Texts are numbers of strings.
    pub mappings: Vec<Mapping>,
    /// How many profiles have each mapping as their first one.
    pub firsts: Vec<i64>,
    /// The mapping of each size in pages, offset, and build id, or file where there is none.
    by_key: HashMap<(u64, i64, u32), u32>,
}

impl Tables {
    /// Add all records of some profiles. Returns the number of each sample's stack, NONE if all its values are 0.
    pub fn add(&mut self, profiles: &Profiles, labels: bool) -> Vec<u32> {
        let locations = self.number_locations(profiles);
        let types = profiles.headers.first().map_or(0, |header| header.types.len() / 2);
        let mut parts = Vec::with_capacity(profiles.stacks.len() + profiles.samples.len());
        let mut ends = Vec::with_capacity(profiles.samples.len());
        let mut rows = Vec::with_capacity(profiles.samples.len());
        let (mut start, mut first_label) = (0, 0);
        for (sample, values) in profiles.samples.iter().zip(profiles.values.chunks_exact(types.max(1))) {
            let stack = &profiles.stacks[start..][..sample.depth as usize];
            start += stack.len();
            let own = first_label..sample.label_end as usize;
            first_label = own.end;
            if values.iter().all(|&value| value == 0) {
                rows.push(NONE);
                continue;
            }
            rows.push(0);
            parts.extend(stack.iter().map(|&location| locations[location as usize]));
            if labels {
                parts.push(self.number_labels(profiles, &profiles.labels[own]));
            }
            ends.push(parts.len());
        }
        let numbers = self.stacks.numbers(slices(&parts, &ends));
        rows.iter_mut().filter(|row| **row != NONE).zip(numbers).for_each(|(row, number)| *row = number);
        rows
    }

    /// All locations: rows of three numbers, first mapping or -1, 1 if folded, address in it; then of each line
    /// function or -1, line, column.
    pub fn locations(&self) -> Vec<[i64; 3]> {
        let rows = self.locations.parts().as_chunks().0.iter();
        let whole = |low: i32, high: i32| i64::from(high) << 32 | i64::from(low.cast_unsigned());
        rows.map(|&[one, two, low, high]| [i64::from(one), i64::from(two), whole(low, high)]).collect()
    }

    /// The end of each location in these rows.
    pub fn location_ends(&self) -> Vec<usize> {
        self.locations.ends().iter().map(|end| end / 4).collect()
    }

    fn number_locations(&mut self, profiles: &Profiles) -> Vec<u32> {
        let texts = profiles
            .string_ends
            .iter()
            .scan(0, |start, &end| Some(&profiles.octets[replace(start, end)..end]));
        let texts = self.strings.numbers(texts);
        let functions = profiles.functions.iter().map(|function| {
            let [name, system_name, file] = function.texts.map(|text| texts[text as usize].cast_signed());
            [name, system_name, file, function.start_line]
        });
        let functions: Vec<[i32; 4]> = functions.collect();
        let functions = self.functions.numbers(functions.iter().map(|function| &function[..]));
        let mappings = self.number_mappings(profiles, &texts);

        let mut parts = Vec::with_capacity(4 * (profiles.locations.len() + profiles.lines.len()));
        let mut ends = Vec::with_capacity(profiles.locations.len());
        let mut first = 0;
        for location in &profiles.locations {
            let (mapping, start) = match profiles.mappings.get(location.mapping as usize) {
                Some(mapping) => (mappings[location.mapping as usize].cast_signed(), mapping.start),
                None => (-1, 0),
            };
            let [low, high] = halves(location.address.wrapping_sub(start));
            parts.extend([mapping, i32::from(location.is_folded), low, high]);
            for line in &profiles.lines[first..location.line_end as usize] {
                let function =
                    functions.get(line.function as usize).map_or(-1, |&number| number.cast_signed());
                let [low, high] = halves(line.column);
                parts.extend([function, line.number, low, high]);
            }
            first = location.line_end as usize;
            ends.push(parts.len());
        }
        self.locations.numbers(slices(&parts, &ends))
    }

    fn number_mappings(&mut self, profiles: &Profiles, texts: &[u32]) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(profiles.mappings.len());
        for mapping in &profiles.mappings {
            let [file, build] = mapping.texts.map(|text| texts[text as usize]);
            let name = if self.strings.item(build).is_empty() { file } else { build };
            let size =
                mapping.limit.wrapping_sub(mapping.start).cast_unsigned().wrapping_add(PAGE - 1) / PAGE;
            let own = Mapping { texts: [file, build], ..*mapping };
            let next = row(self.mappings.len());
            let number = *self.by_key.entry((size, mapping.offset, name)).or_insert(next);
            match self.mappings.get(number as usize) {
                None => {
                    self.mappings.push(own);
                    self.firsts.push(0);
                }
                // Any rule will do that does not ask who came first.
                Some(known) if self.order(&own, known) == Ordering::Less => {
                    self.mappings[number as usize] = own;
                }
                Some(_) => {}
            }
            numbers.push(number);
        }
        // The first mapping is the main binary, whether a sample lies in it or not.
        let mut start = 0;
        for &end in &profiles.mapping_ends {
            if let Some(&first) = numbers[replace(&mut start, end)..end].first() {
                self.firsts[first as usize] += 1;
            }
        }
        numbers
    }

    fn order(&self, one: &Mapping, other: &Mapping) -> Ordering {
        let numbers = |mapping: &Mapping| (mapping.start, mapping.limit, mapping.offset);
        let texts = |mapping: &Mapping| mapping.texts.map(|text| self.strings.item(text));
        numbers(one)
            .cmp(&numbers(other))
            .then_with(|| texts(one).cmp(&texts(other)))
            .then_with(|| one.flags.cmp(&other.flags))
    }

    fn number_labels(&mut self, profiles: &Profiles, labels: &[Label]) -> u32 {
        let mut rows: Vec<[i64; 4]> = labels
            .iter()
            .map(|label| {
                let [key, text, unit] = label.texts.map(|text| i64::from(self.number_text(profiles, text)));
                [key, text, label.number, unit]
            })
            .collect();
        rows.sort_unstable();
        self.label_sets.numbers([rows.as_flattened()].into_iter())[0]
    }

    fn number_text(&mut self, profiles: &Profiles, text: u32) -> u32 {
        let text = text as usize;
        let start = if text == 0 { 0 } else { profiles.string_ends[text - 1] };
        self.strings.numbers([&profiles.octets[start..profiles.string_ends[text]]].into_iter())[0]
    }
}

fn halves(number: i64) -> [i32; 2] {
    [number as i32, (number >> 32) as i32]
}

fn slices<'a, T>(parts: &'a [T], ends: &'a [usize]) -> impl Iterator<Item = &'a [T]> + Clone {
    ends.iter().scan(0, |start, &end| Some(&parts[replace(start, end)..end]))
}
