"""Convert the bytes of profiles to columns of numbers, and back, without regard to their meaning.

Reading goes from :mod:`reading` (gzip, limits) through :mod:`batches` (ptars' Arrow columns) to
:mod:`decoding` (numpy columns, every reference checked). numpy itself decodes some records: :mod:`locations`,
and the two leaf-most locations of each stack (:mod:`leaves`), which are all that a compiler needs.
:mod:`writing` goes back. :mod:`columns` defines the columns, which consist of :mod:`arrays` and :mod:`texts`;
:mod:`numbering` gives equal records equal numbers.
"""
