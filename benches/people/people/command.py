from people import public_sets, generate, profiles
import sys
from pathlib import Path
def main(out):
    p,n,s,f=sys.argv[1:]
    print(generate.generate(profiles.PROFILES[p],int(n),int(s),Path(f)))
