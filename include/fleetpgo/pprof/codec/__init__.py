"""The bytes of profiles ⇄ columns of numbers. What the columns say is not known here.

Reading goes from :mod:`reading` (gzip, limits) by :mod:`batches` (ptars' Arrow columns) to :mod:`decoding`
(numpy columns, every reference checked). Of some records numpy reads the bytes itself: :mod:`locations`, and
:mod:`leaves` for who needs no more of a stack than a compiler does. :mod:`writing` goes back. The columns
are :mod:`columns`, of :mod:`arrays` and :mod:`texts`; :mod:`numbering` gives equal records equal numbers.
"""
