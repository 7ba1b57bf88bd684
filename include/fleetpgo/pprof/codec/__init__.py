"""Convert the bytes of profiles to columns of numbers, and back, without regard to their meaning.

Reading goes from :mod:`reading` (gzip, limits) through :mod:`kernel` (Rust, or :mod:`plain` Python) to
:mod:`decoding` (numpy columns, every reference checked); :mod:`leaves` reads the two leaf-most locations of
each stack, which are all that a compiler needs. :mod:`writing` goes back, through :mod:`encoding`.
:mod:`columns` defines the columns, which consist of :mod:`arrays` and :mod:`texts`; :mod:`numbering` gives
equal records equal numbers.
"""
