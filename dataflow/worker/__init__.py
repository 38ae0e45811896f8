"""What happens inside a worker: a batch comes in, its calls are made, a report goes out.

The same code serves every runner. It imports the standard library, cloudpickle and the model only,
so that a worker starts in some 40 ms.
"""
