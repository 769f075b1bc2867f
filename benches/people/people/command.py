from people import public_sets
def main(out):
    print(*(s.path for s in public_sets.extract(out/'public')))
