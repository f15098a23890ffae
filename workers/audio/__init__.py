"""What sound is made of: codecs, sample rates, detectors of tones and speech, files."""
