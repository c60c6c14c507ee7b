from common.quiet import quiet_libraries

quiet_libraries()  # Before a module of this package imports TensorFlow.
