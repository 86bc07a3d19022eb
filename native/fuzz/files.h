/* The main of a fuzz target that runs the files named on the command line, for compilers without
 * libFuzzer. */
#ifndef NX_FUZZ_FILES_H
#define NX_FUZZ_FILES_H
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  for (int index = 1; index < argc; index++) {
    FILE *file = fopen(argv[index], "rb");
    NX_ASSERT(file != NULL && fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    NX_ASSERT(size >= 0);
    rewind(file);
    uint8_t *content = malloc((size_t)size + 1);
    NX_ASSERT(content != NULL && fread(content, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    LLVMFuzzerTestOneInput(content, (size_t)size);
    free(content);
  }
  printf("%d inputs\n", argc - 1);
  return 0;
}

#endif
