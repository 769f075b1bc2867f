"""What Weft is held against: keys that must be equal, as customer data platforms have them, and Splink."""
