//! Tables of a sum of profiles: every different string, function, mapping, location and stack so far, numbered.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::mem::replace;

use crate::distinct::Distinct;
use crate::profile::{Label, Mapping, Profiles};
use crate::rows::{NONE, row};

/// Sizes of mappings are compared in whole pages, as google/pprof does.
const PAGE: u64 = 0x1000;

/// In place of `NONE` in rows of a known profile that nothing has used yet.
const UNUSED: u32 = NONE - 1;

#[derive(Default)]
pub struct Tables {
    pub strings: Distinct<u8>,
    /// Name, system name and file as numbers of strings; start line.
    pub functions: Distinct<i32>,
    /// Mapping or NONE, address in it, 1 if folded; of each line function or NONE, line, column.
    pub locations: Distinct<i64>,
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
    /// Add what the samples of some profiles use. Returns the number of each sample's stack, NONE if all its values are 0.
    pub fn add(&mut self, profiles: &Profiles, labels: bool) -> Vec<u32> {
        let types = profiles.headers.first().map_or(0, |header| header.types.len() / 2);
        let is_kept =
            |sample: usize| profiles.values[sample * types..][..types].iter().any(|&value| value != 0);

        let mut locations = vec![NONE; profiles.locations.len()];
        let mut start = 0;
        for (number, sample) in profiles.samples.iter().enumerate() {
            let stack = &profiles.stacks[start..][..sample.depth as usize];
            start += stack.len();
            if is_kept(number) {
                stack.iter().for_each(|&location| locations[location as usize] = UNUSED);
            }
        }
        self.number_locations(profiles, &mut locations);

        let mut parts = Vec::with_capacity(profiles.stacks.len() + profiles.samples.len());
        let mut ends = Vec::with_capacity(profiles.samples.len());
        let (mut start, mut first_label) = (0, 0);
        for (number, sample) in profiles.samples.iter().enumerate() {
            let stack = &profiles.stacks[start..][..sample.depth as usize];
            start += stack.len();
            let own = first_label..sample.label_end as usize;
            first_label = own.end;
            if is_kept(number) {
                parts.extend(stack.iter().map(|&location| locations[location as usize]));
                if labels {
                    parts.push(self.number_labels(profiles, &profiles.labels[own]));
                }
                ends.push(parts.len());
            }
        }
        let mut numbers = self.stacks.numbers(slices(&parts, &ends)).into_iter();
        let every = 0..profiles.samples.len();
        every.map(|number| if is_kept(number) { numbers.next().unwrap_or(NONE) } else { NONE }).collect()
    }

    /// Replace the mark of each used location by its number.
    fn number_locations(&mut self, profiles: &Profiles, locations: &mut [u32]) {
        let mut functions = vec![NONE; profiles.functions.len()];
        let mut mappings = vec![NONE; profiles.mappings.len()];
        // The first mapping is the main binary, whether a sample lies in it or not.
        first_mappings(profiles).for_each(|first| mappings[first] = UNUSED);
        let mut first = 0;
        for (mark, location) in locations.iter().zip(&profiles.locations) {
            let lines = &profiles.lines[first..location.line_end as usize];
            first += lines.len();
            if *mark == NONE {
                continue;
            }
            for line in lines.iter().filter(|line| line.function != NONE) {
                functions[line.function as usize] = UNUSED;
            }
            if location.mapping != NONE {
                mappings[location.mapping as usize] = UNUSED;
            }
        }
        self.number_functions(profiles, &mut functions);
        self.number_mappings(profiles, &mut mappings);

        let mut parts = Vec::with_capacity(3 * (profiles.locations.len() + profiles.lines.len()));
        let mut ends = Vec::with_capacity(profiles.locations.len());
        let mut first = 0;
        for (mark, location) in locations.iter().zip(&profiles.locations) {
            let lines = &profiles.lines[first..location.line_end as usize];
            first += lines.len();
            if *mark == NONE {
                continue;
            }
            let (mapping, start) = match profiles.mappings.get(location.mapping as usize) {
                Some(mapping) => (mappings[location.mapping as usize], mapping.start),
                None => (NONE, 0),
            };
            let address = location.address.wrapping_sub(start);
            parts.extend([number_or_none(mapping), address, i64::from(location.is_folded)]);
            for line in lines {
                let function = functions.get(line.function as usize).map_or(NONE, |&number| number);
                parts.extend([number_or_none(function), i64::from(line.number), line.column]);
            }
            ends.push(parts.len());
        }
        replace_marks(locations, self.locations.numbers(slices(&parts, &ends)));
    }

    fn number_functions(&mut self, profiles: &Profiles, functions: &mut [u32]) {
        let used = || {
            profiles
                .functions
                .iter()
                .zip(&*functions)
                .filter(|(_, mark)| **mark != NONE)
                .map(|(each, _)| each)
        };
        let mut strings = vec![NONE; profiles.string_ends.len()];
        for function in used() {
            function.texts.iter().for_each(|&text| strings[text as usize] = UNUSED);
        }
        let texts = profiles
            .string_ends
            .iter()
            .scan(0, |start, &end| Some(&profiles.octets[replace(start, end)..end]));
        let texts = texts.zip(&strings).filter(|(_, mark)| **mark != NONE).map(|(text, _)| text);
        let numbers = self.strings.numbers(texts);
        replace_marks(&mut strings, numbers);

        let rows = used().map(|function| {
            let [name, system_name, file] = function.texts.map(|text| strings[text as usize].cast_signed());
            [name, system_name, file, function.start_line]
        });
        let rows: Vec<[i32; 4]> = rows.collect();
        let numbers = self.functions.numbers(rows.iter().map(|function| &function[..]));
        replace_marks(functions, numbers);
    }

    fn number_mappings(&mut self, profiles: &Profiles, mappings: &mut [u32]) {
        for (mark, mapping) in mappings.iter_mut().zip(&profiles.mappings) {
            if *mark == NONE {
                continue;
            }
            let texts = mapping.texts.map(|text| self.number_text(profiles, text));
            let [file, build] = texts;
            let name = if self.strings.item(build).is_empty() { file } else { build };
            let size =
                mapping.limit.wrapping_sub(mapping.start).cast_unsigned().wrapping_add(PAGE - 1) / PAGE;
            let own = Mapping { texts, ..*mapping };
            *mark = *self.by_key.entry((size, mapping.offset, name)).or_insert(row(self.mappings.len()));
            match self.mappings.get(*mark as usize) {
                None => {
                    self.mappings.push(own);
                    self.firsts.push(0);
                }
                // Any rule will do that does not ask who came first.
                Some(known) if self.order(&own, known) == Ordering::Less => {
                    self.mappings[*mark as usize] = own
                }
                Some(_) => {}
            }
        }
        first_mappings(profiles).for_each(|first| self.firsts[mappings[first] as usize] += 1);
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

/// The place of each profile's first mapping.
fn first_mappings(profiles: &Profiles) -> impl Iterator<Item = usize> {
    let starts_and_ends =
        profiles.mapping_ends.iter().scan(0, |start, &end| Some((replace(start, end), end)));
    starts_and_ends.filter(|(start, end)| start < end).map(|(start, _)| start)
}

fn slices<'a, T>(parts: &'a [T], ends: &'a [usize]) -> impl Iterator<Item = &'a [T]> + Clone {
    ends.iter().scan(0, |start, &end| Some(&parts[replace(start, end)..end]))
}

fn replace_marks(marks: &mut [u32], numbers: Vec<u32>) {
    for (mark, number) in marks.iter_mut().filter(|mark| **mark != NONE).zip(numbers) {
        *mark = number;
    }
}

fn number_or_none(number: u32) -> i64 {
    if number == NONE { -1 } else { i64::from(number) }
}
