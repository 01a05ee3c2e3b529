/* What no JPEG service gets around: libjpeg-turbo alone, called the way Pillow calls it. Scaled decode and optimised
   encode, rows straight from and into one buffer, no resizing. */

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

struct failing {
    struct jpeg_error_mgr errors;
    jmp_buf back;
};

static void fail(j_common_ptr info) { longjmp(((struct failing *)info->err)->back, 1); }

/* Decodes at 1/denominator into RGB and throws the pixels away; 0 on success. */
int floor_decode(const unsigned char *data, unsigned long length, int denominator) {
    struct jpeg_decompress_struct info;
    struct failing failing;
    unsigned char *volatile pixels = NULL;
    info.err = jpeg_std_error(&failing.errors);
    failing.errors.error_exit = fail;
    if (setjmp(failing.back)) {
        jpeg_destroy_decompress(&info);
        free(pixels);
        return 1;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, data, length);
    jpeg_read_header(&info, TRUE);
    info.scale_num = 1;
    info.scale_denom = denominator;
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    unsigned long stride = 3UL * info.output_width;
    pixels = malloc(stride * info.output_height);
    if (!pixels) fail((j_common_ptr)&info);
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = pixels + stride * info.output_scanline;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    free(pixels);
    return 0;
}

/* The size in bytes of `pixels` (RGB) as a JPEG, 4:2:0 with optimised tables; 0 where it fails. */
unsigned long floor_encode(const unsigned char *pixels, int width, int height, int quality) {
    struct jpeg_compress_struct info;
    struct failing failing;
    unsigned char *made = NULL; /* libjpeg's own, from malloc */
    unsigned long length = 0;
    info.err = jpeg_std_error(&failing.errors);
    failing.errors.error_exit = fail;
    if (setjmp(failing.back)) {
        jpeg_destroy_compress(&info);
        free(made);
        return 0;
    }
    jpeg_create_compress(&info);
    jpeg_mem_dest(&info, &made, &length);
    info.image_width = width;
    info.image_height = height;
    info.input_components = 3;
    info.in_color_space = JCS_RGB;
    jpeg_set_defaults(&info);
    jpeg_set_quality(&info, quality, TRUE);
    info.optimize_coding = TRUE;
    jpeg_start_compress(&info, TRUE);
    while (info.next_scanline < info.image_height) {
        JSAMPROW row = (JSAMPROW)pixels + 3UL * width * info.next_scanline;
        jpeg_write_scanlines(&info, &row, 1);
    }
    jpeg_finish_compress(&info);
    jpeg_destroy_compress(&info);
    free(made);
    return length;
}
