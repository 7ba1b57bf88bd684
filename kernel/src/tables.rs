//! Tables of a sum of profiles: every different record so far, numbered.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::hash::Hash;
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
    /// Mapping or -1, 1 if folded, address in it; of each line function or -1, line, column. Addresses and columns are
    /// in halves: the smaller the keys, the more of them are in the processor's caches.
    locations: Distinct<i32>,
    /// Locations; then the set of labels, where labels are kept.
    pub stacks: Distinct<u32>,
    /// Of each label key, text and unit as numbers of strings; number. In the order of these numbers.
    pub label_sets: Distinct<i64>,
    /// Of those that are one the least, texts by their bytes. Texts are numbers of strings.
    pub mappings: Vec<Mapping>,
    /// How many profiles have each mapping as their first one.
    pub firsts: Vec<i64>,
    /// The mapping of each size in pages, offset, and build id, or file where there is none.
    by_key: HashMap<(u64, i64, u32), u32>,
}

/// What of the profiles that are added is used: by samples that have a value, or by what these use.
struct Used {
    strings: Vec<bool>,
    functions: Vec<bool>,
    mappings: Vec<bool>,
    locations: Vec<bool>,
}

impl Tables {
    /// Add some profiles. Returns the number of each sample's stack, NONE if all its values are 0.
    pub fn add(&mut self, profiles: &Profiles, labels: bool) -> Vec<u32> {
        let types = profiles.headers.first().map_or(0, |header| header.types.len() / 2);
        let has_value = |sample| profiles.values[sample * types..][..types].iter().any(|&value| value != 0);
        let kept: Vec<bool> = (0..profiles.samples.len()).map(has_value).collect();
        let used = Used::by(&kept, profiles, labels);
        let texts = profiles.string_ends.iter();
        let texts = texts.scan(0, |start, &end| Some(&profiles.octets[replace(start, end)..end]));
        let texts = numbers_of_used(&mut self.strings, texts, &used.strings);
        let locations = self.number_locations(profiles, &texts, &used);

        let mut parts = Vec::with_capacity(profiles.stacks.len() + profiles.samples.len());
        let mut ends = Vec::with_capacity(profiles.samples.len());
        let (mut start, mut first_label) = (0, 0);
        for (sample, &is_kept) in profiles.samples.iter().zip(&kept) {
            let stack = &profiles.stacks[start..][..sample.depth as usize];
            start += stack.len();
            let own = first_label..sample.label_end as usize;
            first_label = own.end;
            if is_kept {
                parts.extend(stack.iter().map(|&location| locations[location as usize]));
                if labels {
                    parts.push(self.number_labels(&profiles.labels[own], &texts));
                }
            }
            ends.push(parts.len());
        }
        numbers_of_used(&mut self.stacks, slices(&parts, &ends), &kept)
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

    fn number_locations(&mut self, profiles: &Profiles, texts: &[u32], used: &Used) -> Vec<u32> {
        let functions = profiles.functions.iter().map(|function| {
            let [name, system_name, file] = function.texts.map(|text| texts[text as usize].cast_signed());
            [name, system_name, file, function.start_line]
        });
        let functions: Vec<[i32; 4]> = functions.collect();
        let functions = functions.iter().map(|function| &function[..]);
        let functions = numbers_of_used(&mut self.functions, functions, &used.functions);
        let mappings = self.number_mappings(profiles, texts, &used.mappings);

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
        numbers_of_used(&mut self.locations, slices(&parts, &ends), &used.locations)
    }

    fn number_mappings(&mut self, profiles: &Profiles, texts: &[u32], used: &[bool]) -> Vec<u32> {
        let mut numbers = vec![NONE; profiles.mappings.len()];
        for (place, mapping) in profiles.mappings.iter().enumerate().filter(|&(place, _)| used[place]) {
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
                    self.mappings[number as usize] = own
                }
                Some(_) => {}
            }
            numbers[place] = number;
        }
        for first in first_mappings(profiles) {
            self.firsts[numbers[first] as usize] += 1;
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

    fn number_labels(&mut self, labels: &[Label], texts: &[u32]) -> u32 {
        let mut rows: Vec<[i64; 4]> = labels
            .iter()
            .map(|label| {
                let [key, text, unit] = label.texts.map(|text| i64::from(texts[text as usize]));
                [key, text, label.number, unit]
            })
            .collect();
        rows.sort_unstable();
        self.label_sets.numbers([rows.as_flattened()].into_iter())[0]
    }
}

impl Used {
    fn by(kept: &[bool], profiles: &Profiles, labels: bool) -> Self {
        let mut used = Self {
            strings: vec![false; profiles.string_ends.len()],
            functions: vec![false; profiles.functions.len()],
            mappings: vec![false; profiles.mappings.len()],
            locations: vec![false; profiles.locations.len()],
        };
        let (mut start, mut first_label) = (0, 0);
        for (sample, &is_kept) in profiles.samples.iter().zip(kept) {
            let stack = &profiles.stacks[start..][..sample.depth as usize];
            start += stack.len();
            let own = &profiles.labels[first_label..sample.label_end as usize];
            first_label += own.len();
            if is_kept {
                stack.iter().for_each(|&location| mark(&mut used.locations, location));
                if labels {
                    own.iter().flat_map(|label| label.texts).for_each(|text| mark(&mut used.strings, text));
                }
            }
        }
        // The first mapping is the main binary, whether a sample lies in it or not.
        first_mappings(profiles).for_each(|first| mark(&mut used.mappings, row(first)));
        let mut first = 0;
        for (location, &is_used) in profiles.locations.iter().zip(&used.locations) {
            let lines = &profiles.lines[first..location.line_end as usize];
            first += lines.len();
            if is_used {
                mark(&mut used.mappings, location.mapping);
                lines.iter().for_each(|line| mark(&mut used.functions, line.function));
            }
        }
        for (function, _) in profiles.functions.iter().zip(&used.functions).filter(|(_, is_used)| **is_used) {
            function.texts.iter().for_each(|&text| mark(&mut used.strings, text));
        }
        for (mapping, _) in profiles.mappings.iter().zip(&used.mappings).filter(|(_, is_used)| **is_used) {
            mapping.texts.iter().for_each(|&text| mark(&mut used.strings, text));
        }
        used
    }
}

/// Mark a row; NONE is that of nothing.
fn mark(marks: &mut [bool], row: u32) {
    if let Some(mark) = marks.get_mut(row as usize) {
        *mark = true;
    }
}

/// The place of each profile's first mapping.
fn first_mappings(profiles: &Profiles) -> impl Iterator<Item = usize> {
    let starts_and_ends =
        profiles.mapping_ends.iter().scan(0, |start, &end| Some((replace(start, end), end)));
    starts_and_ends.filter(|(start, end)| start < end).map(|(start, _)| start)
}

/// Return the number of each item that is used, NONE for the others, which are not kept.
fn numbers_of_used<'a, T: Copy + Eq + Hash + 'a>(
    known: &mut Distinct<T>,
    items: impl Iterator<Item = &'a [T]> + Clone,
    used: &[bool],
) -> Vec<u32> {
    let chosen = items.zip(used).filter(|(_, is_used)| **is_used).map(|(item, _)| item);
    let mut numbers = known.numbers(chosen).into_iter();
    used.iter().map(|&is_used| if is_used { numbers.next().unwrap_or(NONE) } else { NONE }).collect()
}

fn halves(number: i64) -> [i32; 2] {
    [number as i32, (number >> 32) as i32]
}

fn slices<'a, T>(parts: &'a [T], ends: &'a [usize]) -> impl Iterator<Item = &'a [T]> + Clone {
    ends.iter().scan(0, |start, &end| Some(&parts[replace(start, end)..end]))
}
