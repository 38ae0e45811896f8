/* Memory for numpy's arrays at places that are offered to it, each a map of a file.

   These are the functions of a PyDataMem_Handler (numpy's NEP 49) in front of those of another one.
   numpy calls them in any thread, the last one amid exceptions too, so they are in C and know
   nothing of Python. What there is to do with files is done in array_places.py, which has the
   states of the places in common with them:

     EMPTY -offer-> FREE -malloc-> TAKEN -free-> FREE -withdraw-> EMPTY
                                   TAKEN -leave-> LEFT -free-> ENDED -clear-> EMPTY
*/

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { PLACES = 16 };
enum { EMPTY, FREE, TAKEN, LEFT, ENDED };

struct allocator { /* PyDataMemAllocator */
    void *context;
    void *(*malloc)(void *context, size_t size);
    void *(*calloc)(void *context, size_t count, size_t each);
    void *(*realloc)(void *context, void *start, size_t size);
    void (*free)(void *context, void *start, size_t size);
};

struct handler { /* PyDataMem_Handler, version 1 */
    char name[127];
    uint8_t version;
    struct allocator allocator;
};

struct place {
    void *start;
    size_t size;
    atomic_int state;
};

struct places {
    struct allocator behind;
    size_t least;         /* what is smaller is not looked at */
    char *first, *last;   /* all places that there ever were begin between these */
    atomic_size_t missed; /* how often all places of the size of a block were taken */
    struct place all[PLACES];
};

const size_t array_places_size = sizeof(struct places);
const char array_capsule[] = "mem_handler";

/* Change the state of a place, unless it is another one by now. */
int place_change(struct place *place, int from, int to)
{
    return atomic_compare_exchange_strong(&place->state, &from, to);
}

/* Nobody is at a place any more, while others may leave it as it is. */
static void let_go(struct place *place)
{
    while (!place_change(place, TAKEN, FREE) && !place_change(place, LEFT, ENDED))
        ;
}

static int fits(const struct place *place, size_t size)
{
    return size <= place->size && size >= place->size / 2;
}

static void *take(struct places *places, size_t size)
{
    size_t would_fit = 0;
    if (size < places->least)
        return NULL;
    for (int number = 0; number < PLACES; number++) {
        struct place *place = &places->all[number];
        int state = atomic_load(&place->state);
        if ((state != FREE && state != TAKEN) || !fits(place, size))
            continue;
        if (state == FREE && place_change(place, FREE, TAKEN)) {
            if (fits(place, size))
                return place->start;
            let_go(place); /* it was another one before */
            continue;
        }
        would_fit = 1;
    }
    atomic_fetch_add(&places->missed, would_fit);
    return NULL;
}

static struct place *place_of(struct places *places, void *start)
{
    if ((char *)start < places->first || (char *)start > places->last)
        return NULL;
    for (int number = 0; number < PLACES; number++) {
        struct place *place = &places->all[number];
        int state = atomic_load(&place->state);
        if ((state == TAKEN || state == LEFT) && place->start == start)
            return place;
    }
    return NULL;
}

void *place_malloc(void *context, size_t size)
{
    struct places *places = context;
    void *found = take(places, size);
    return found ? found : places->behind.malloc(places->behind.context, size);
}

void *place_calloc(void *context, size_t count, size_t each)
{
    struct places *places = context;
    size_t size;
    if (!__builtin_mul_overflow(count, each, &size)) {
        void *found = take(places, size);
        if (found)
            return memset(found, 0, size);
    }
    return places->behind.calloc(places->behind.context, count, each);
}

void place_free(void *context, void *start, size_t size)
{
    struct places *places = context;
    struct place *place = place_of(places, start);
    if (place)
        let_go(place);
    else
        places->behind.free(places->behind.context, start, size);
}

void *place_realloc(void *context, void *start, size_t size)
{
    struct places *places = context;
    struct place *place = place_of(places, start);
    if (!place)
        return places->behind.realloc(places->behind.context, start, size);
    if (size <= place->size)
        return start;
    void *found = place_malloc(context, size);
    if (found) {
        memcpy(found, start, place->size);
        place_free(context, start, place->size);
    }
    return found;
}

struct places array_places;
struct handler array_handler = {
    "dataflow", 1, {&array_places, place_malloc, place_calloc, place_realloc, place_free}};
