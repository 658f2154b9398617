"""Figures of the error analysis: tables in, PNGs out, legible on a phone, on paper and to colour-blind eyes."""
