import os, mmap, harness, syscalls
from harness import *
class T(FsTest):
    def fill(self): 
        write(self.lower("d/e",1),""); os.utime(self.lower("d/e",1),ns=(10**18,10**18))
        write(self.lower("d/g",1),"x"); os.utime(self.lower("d/g",1),ns=(10**18,10**18))
        write(self.lower("d/h",1),"x"); os.chown(self.lower("d/h",1),1000,1000); os.chmod(self.lower("d/h",1),0o6777); os.utime(self.lower("d/h",1),ns=(10**18,10**18))
    def test(self):
        for n in "egh":
            fd=os.open(self.path("d/"+n), os.O_CREAT|os.O_RDWR, 0o666)
            os.close(fd)
            print(n, os.stat(self.path("d/"+n)).st_mtime_ns)
            read(self.path("d/"+n))
            print(n, os.stat(self.path("d/"+n)).st_mtime_ns)
harness.main()
