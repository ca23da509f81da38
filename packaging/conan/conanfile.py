"""Builds the tree this file lies in: conan create packaging/conan"""

import os

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy


class ConfmanConan(ConanFile):
    name = 'confman'
    version = '0.1.0'
    license = 'MIT'
    description = 'A replicated configuration map inside your C++ process, over Raft'
    package_type = 'library'
    settings = 'os', 'arch', 'compiler', 'build_type'
    # with_zstd: snapshots may be compressed; all members of a cluster need it then.
    options = {'shared': [True, False], 'fPIC': [True, False], 'with_zstd': [True, False]}
    default_options = {'shared': False, 'fPIC': True, 'with_zstd': False}

    def export_sources(self):
        root = os.path.join(self.recipe_folder, '..', '..')
        for pattern in ('CMakeLists.txt', 'LICENSE', 'cmake/*', 'include/*', 'src/*'):
            copy(self, pattern, root, self.export_sources_folder)

    def requirements(self):
        self.requires('asio/[>=1.22.1 <2]', transitive_headers=True)
        self.requires('cereal/[>=1.3.2 <2]', transitive_headers=True)
        self.requires('fmt/[>=9.1]', transitive_headers=True)
        if self.options.with_zstd:
            self.requires('zstd/[>=1.5 <2]', transitive_headers=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        for part in ('TESTS', 'EXAMPLES', 'BENCHMARKS'):
            toolchain.cache_variables[f'CONFMAN_BUILD_{part}'] = False
        toolchain.cache_variables['CONFMAN_ZSTD'] = 'ON' if self.options.with_zstd else 'OFF'
        toolchain.cache_variables['CONFMAN_WARNINGS_AS_ERRORS'] = False
        toolchain.generate()
        CMakeDeps(self).generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        CMake(self).install()
        copy(self, 'LICENSE', self.source_folder, os.path.join(self.package_folder, 'licenses'))

    def package_info(self):
        self.cpp_info.set_property('cmake_find_mode', 'none')
        self.cpp_info.builddirs.append(os.path.join('lib', 'cmake', 'confman'))
