# cmake -DIN=FILE -DOUT=FILE.c -DNAME=name -DHEADER=header.h -P EmbedFile.cmake
# The bytes of a file as a C array, and their number as NAME_bytes.
file(READ ${IN} hex HEX)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
string(REGEX REPLACE "(0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,0x..,)"
    "\\1\n" bytes "${bytes}")
file(WRITE ${OUT} "#include \"${HEADER}\"\n\nconst char ${NAME}[] = {\n${bytes}0x0a };\n"
    "const size_t ${NAME}_bytes = sizeof ${NAME};\n")
